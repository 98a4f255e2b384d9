"""What a process sets for itself before it trains."""

from __future__ import annotations

import ctypes
import sys

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""glibc's names for the two settings of mallopt(3), from malloc.h."""
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_NEVER = 2**31 - 1


def prepare_process() -> None:
    """Change how this process computes, not what. Call it first thing where something is computed.

    Threads that it starts from now on flush denormals: a thread takes the setting over when it is started, and torch
    keeps its threads, so `denormals_flushed` comes too late for them.

    Memory that was freed is kept: the tensors of a step are as large as those of the step before, and giving them back
    to the kernel and faulting them in again took a third of a training step of Rohrer25K with convolutions.
    """
    torch.set_flush_denormal(True)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc's; another allocator has other costs
        mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_TRIM_THRESHOLD, _NEVER)
