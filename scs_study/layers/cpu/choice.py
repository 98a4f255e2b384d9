"""Which operations compute the layers on a CPU: compiled loops, or torch's own where those cannot start."""

from __future__ import annotations

import functools
import importlib
import platform
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

KERNELS = ("auto", "plain")
"""auto: compiled loops where they can be had; plain: torch's operations."""
PLAIN = "torch"
_PACKAGE = "scs_study.layers.cpu"

_chosen = KERNELS[0]


@dataclass(frozen=True)
class Loops:
    """The modules of compiled loops, and the one that compiled them."""

    norms: Any
    windows: Any
    depthwise: Any
    compiled: Any


def choose(kernels: str) -> None:
    """Let this process compute by one of KERNELS from now on. Raises ValueError for another word."""
    global _chosen
    if kernels not in KERNELS:
        raise ValueError(f"kernels must be one of {', '.join(KERNELS)}, got {kernels!r}")
    _chosen = kernels


def kernel_name(kernels: str) -> str:
    """Return what one of KERNELS means here: PLAIN, or the compiler, its version and the processor."""
    loops = _started() if kernels == KERNELS[0] else None
    return PLAIN if loops is None else str(loops.compiled.name())


def chosen_loops() -> Loops | None:
    """Return the compiled loops; None where they are not wanted or cannot start, and say once why not."""
    return _started() if _chosen == KERNELS[0] else None


@functools.cache
def _started() -> Loops | None:
    try:
        loops = _load()
        _check(loops)
    except Exception as error:  # numba, LLVM, the disk: whatever it is, there is another way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        if isinstance(error, ModuleNotFoundError) and error.name == "numba":
            reason = "numba is not installed (pip install 'scs-study[fast]')"
        warnings.warn(
            f"the fast CPU layers cannot start, torch's operations compute them, more slowly: {reason}", stacklevel=2
        )
        return None
    return loops


def _load() -> Loops:
    names = ("norms", "windows", "depthwise", "compiled")
    return Loops(*(importlib.import_module(f"{_PACKAGE}.{name}") for name in names))


def _check(loops: Loops) -> None:
    """Raise ArithmeticError unless the loops do on this processor what they are for, on a small case."""
    z = np.linspace(-1, 1, 3 * 4 * 19, dtype=np.float32).reshape(1, 3, 4, 19)
    r, p = np.full((1, 3, 4), 0.5, np.float32), np.tile(np.linspace(0.5, 3, 19, dtype=np.float32), 4)
    y = np.empty((1, 3, 4 * 19), np.float32)
    q, eps = np.float32(0.5), np.float32(1e-6)
    loops.windows.forward(
        z, r, q, p, eps, 1, 1, True, True, False, np.empty((1, 1, 4, 19), np.float32), y.view("u1"), y
    )
    expected = np.sign(z) * (np.abs(z.astype(np.float64)) + eps) ** p.reshape(4, 19)
    if not np.allclose(y.reshape(z.shape), expected, rtol=1e-5, atol=1e-7):
        raise ArithmeticError(f"the compiled loops compute wrong numbers on this {platform.machine()}")
