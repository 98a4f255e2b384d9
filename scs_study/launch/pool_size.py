"""How many processes a pool has, how many runs each of them computes at once, and on which devices."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from scs_study.config.schema import whole
from scs_study.launch.threads import thread_count

RUNS_A_GPU = 4
"""At the same time, unless a user says another number: a network of 25K parameters does not fill a GPU."""


@dataclass(frozen=True)
class PoolSize:
    """How many processes, with how many CPU threads for a run, on which devices (taken in turn).

    side_by_side: how many runs each process computes at the same time.
    """

    workers: int
    threads: int
    devices: tuple[torch.device, ...]
    side_by_side: int = 1

    @property
    def on_each(self) -> int:
        """How many runs share a device."""
        return -(-self.workers // len(self.devices)) * self.side_by_side


def pool_size(
    device: torch.device, engine: str, workers: int | None, side_by_side: int | None, threads: int | None
) -> PoolSize:
    """Return the pool for a machine: `workers` processes with `side_by_side` runs in each.

    Where they are None: one process a CPU core; for every visible GPU one process with RUNS_A_GPU runs, whose graphs
    then overlap there, or RUNS_A_GPU processes with an engine that keeps the host busy: threads would share its
    interpreter. threads: CPU threads of each, 1 where it is None: with another number the last bits of a result are
    others. Raises ValueError for numbers below 1, and for more runs in a process than there are CUDA streams.
    """
    for key, value in (("launch.workers", workers), ("engine.threads", threads)):
        if value is not None:
            whole(key, value, 1)
    if side_by_side is not None:
        thread_count("launch.side_by_side", side_by_side)
    devices = _devices(device)
    if device.type == "cuda":
        together = _overlaps(device, engine) or side_by_side is not None
        processes = len(devices) if together else RUNS_A_GPU * len(devices)
        beside = side_by_side or (RUNS_A_GPU if together else 1)
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        processes, beside = max(1, cores // (threads or 1)), side_by_side or 1
    return PoolSize(workers or processes, threads or 1, devices, beside)


def pool_of_runs(device: torch.device, engine: str, runs: int, threads: int) -> PoolSize:
    """Return the pool that computes `runs` of them at the same time, or a few less where GPUs cannot share them evenly.

    Raises ValueError for more runs in a process than there are CUDA streams.
    """
    devices = _devices(device)
    if not _overlaps(device, engine):
        return PoolSize(runs, threads, devices)
    processes = min(runs, len(devices))
    return PoolSize(processes, threads, devices, thread_count("launch.at_once on each GPU", runs // processes))


def _devices(device: torch.device) -> tuple[torch.device, ...]:
    if device.type == "cuda" and device.index is None:
        return tuple(torch.device("cuda", index) for index in range(torch.cuda.device_count()))
    return (device,)


def _overlaps(device: torch.device, engine: str) -> bool:
    return device.type == "cuda" and engine == "graphed"
