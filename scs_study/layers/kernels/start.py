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
    from scs_study.layers.kernels import layer_kernels as kernels

    weight, unit, length = torch.full((1, 2), 3.0, device=device), *torch.zeros(2, 1, 2, device=device).unbind()
    launch(kernels.unit_forward, 1, device, weight, unit, length, columns=2, least=1.0, COLUMNS=2)
    if not 4.2 < length[0, 0].item() < 4.3:
        raise ArithmeticError(f"the length of (3, 3) came out as {length[0, 0].item()}")
