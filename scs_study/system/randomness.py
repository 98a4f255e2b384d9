"""The process's random generators, which all threads and networks share: seeded, lent to one at a time, put back."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_CPU = torch.device("cpu")
_LENT = threading.RLock()
"""Held by the thread that draws: torch, Python and numpy have one generator each for the whole process."""


def derived(text: str) -> int:
    """Return a seed of 56 bits that depends on `text` alone: the same in every process, on every machine."""
    # Not Python's hash(): that one differs from process to process.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


@contextmanager
def own_random_state(seed: int | None = None, device: torch.device = _CPU) -> Iterator[None]:
    """Return a context that only one thread is in, and after which the process's generators are as they were before.

    The generators are those that code draws from which names none: torch's of the CPU and, if `device` is one, of that
    CUDA device, Python's and numpy's. seed: where all of them start from; None leaves them where they are.
    """
    with _LENT:
        before = states(device)
        try:
            if seed is not None:
                _seed(seed, device)
            yield
        finally:
            _put_back(before, device)


def states(device: torch.device = _CPU) -> dict[str, Any]:
    """Return where the process's generators stand, by name: "torch", "python", "numpy" and, on CUDA, "cuda"."""
    found = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": np.random.get_state()}  # noqa: NPY002
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    return found


def moved(before: Mapping[str, Any], device: torch.device = _CPU) -> set[str]:
    """Return the names of the generators that something was drawn from since `before`, which `states` gave."""
    now = states(device)
    same: dict[str, bool] = {
        "python": now["python"] == before["python"],
        "numpy": all(np.array_equal(a, b) for a, b in zip(now["numpy"], before["numpy"], strict=True)),
        **{name: torch.equal(now[name], before[name]) for name in ("torch", "cuda") if name in now},
    }
    return {name for name, still in same.items() if not still}


def _seed(seed: int, device: torch.device) -> None:
    # Not torch.manual_seed(): it seeds devices that nobody asked for, now or when they are first used.
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (networks of others draw from it)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def _put_back(before: Mapping[str, Any], device: torch.device) -> None:
    torch.set_rng_state(before["torch"])
    random.setstate(before["python"])
    np.random.set_state(before["numpy"])  # noqa: NPY002
    if device.type == "cuda":
        torch.cuda.set_rng_state(before["cuda"], device)
