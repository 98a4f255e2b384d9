"""Starting a Triton kernel: on the device of its tensors, and only where Triton can start one at all."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import warnings
from typing import Any

import torch

HAVE_TRITON = importlib.util.find_spec("triton") is not None


def launch(kernel: Any, programs: int, device: torch.device, *arguments: Any, **constants: Any) -> None:
    """Start `programs` programs of a Triton kernel on `device`, where its tensors are.

    Triton itself starts them on the current device, whatever the tensors say, and another device's memory is then an
    illegal address.
    """
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[(programs,)](*arguments, **constants)


@functools.cache
def triton_starts(device: torch.device) -> bool:
    """Return whether Triton starts kernels on `device`; a warning says once why not.

    At its first kernel Triton builds a module of its own with a C compiler and Python's headers, which a machine that
    only runs Python need not have.
    """
    if not HAVE_TRITON:
        return False
    try:
        _probe(device)
    except Exception as error:  # a compiler, a driver, the disk: whatever it is, there is another way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        warnings.warn(
            f"the fused GPU layers cannot start on {device}, torch's operations compute them, more slowly: {reason}",
            stacklevel=2,
        )
        return False
    return True


def _probe(device: torch.device) -> None:
    """Raise what Triton raises, or ArithmeticError, unless one kernel gives on `device` what it is for."""
    from scs_study.layers.kernels import triton as kernels

    x, energy = torch.full((1, 2), 3.0, device=device), torch.zeros(1, device=device)
    launch(kernels.energy_forward, 1, device, x, energy, 1, columns=2, ROWS=1, COLUMNS=2)
    if energy.item() != 18.0:
        raise ArithmeticError(f"a sum of squares came out as {energy.item()}, not 18")
