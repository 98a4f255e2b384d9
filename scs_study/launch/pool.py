"""The cells of a study on one machine, by several processes at once; the death of one costs nobody but its cell."""

from __future__ import annotations

import contextlib
import heapq
import multiprocessing
import os
import signal
import sys
import time
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from scs_study.config.schema import CellConfig, whole
from scs_study.launch import worker
from scs_study.launch.inline import POLL, epochs_left
from scs_study.runs.context import Workplace
from scs_study.runs.progress import Progress
from scs_study.runs.run_one import give_up
from scs_study.runs.state import Outcome, run_state
from scs_study.runs.validate import settled
from scs_study.training.stopping import Interrupted, StopRequest

DEATHS = 3
"""A cell whose worker dies so often without completing another epoch has failed: it kills whoever works on it."""
_TICK = 0.5


@dataclass(frozen=True)
class PoolSize:
    """How many processes, with how many threads each, on which devices (taken in turn)."""

    workers: int
    threads: int
    devices: tuple[torch.device, ...]


def pool_size(device: torch.device, workers: int | None, per_gpu: int, threads: int | None) -> PoolSize:
    """The pool for a machine: `workers`, or one a CPU core, or `per_gpu` for every visible GPU.

    threads: CPU threads of each, 1 where it is None: with another number the last bits of a result are others.
    Errors: ValueError for numbers below 1.
    """
    for key, value in (("launch.workers", workers), ("launch.per_gpu", per_gpu), ("engine.threads", threads)):
        if value is not None:
            whole(key, value, 1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices = (device,)
    if device.type == "cuda" and device.index is None:
        devices = tuple(torch.device("cuda", index) for index in range(torch.cuda.device_count()))
    default = per_gpu * len(devices) if device.type == "cuda" else max(1, cores // (threads or 1))
    return PoolSize(workers or default, threads or 1, devices)


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    job: tuple[int, CellConfig] | None = None


@dataclass
class _Pool:
    cells: Sequence[CellConfig]
    place: Workplace
    size: PoolSize
    progress: Progress
    patience: float | None
    todo: list[tuple[float, int, CellConfig]] = field(default_factory=list)
    workers: list[_Worker | None] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    deaths: dict[str, tuple[int, int]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    worked: float = 0.0


def pool(
    cells: Sequence[CellConfig], place: Workplace, size: PoolSize, patience: float | None = None
) -> dict[str, Outcome]:
    """What became of every cell, by run name. patience: as for `launch.inline`.

    A worker that is killed is replaced, and its cell continues from its checkpoint; a cell that kills its workers
    DEATHS times in the same epoch has failed. Errors: stopping.Interrupted after SIGTERM or SIGINT, or after SLURM's
    warning; the workers have written their checkpoints then.
    """
    progress = Progress.start(cells, epochs_left(cells, place))
    state = _Pool(cells, place, size, progress, patience, worked=time.monotonic())
    for number, cell in enumerate(cells, start=1):
        if settled(place.runs, cell):
            state.outcomes[cell.run_name] = Outcome(run_state(place.runs, cell).state)
        else:
            state.todo.append((0.0, number, cell))
    heapq.heapify(state.todo)
    state.workers = [None] * min(size.workers, len(state.todo))
    with StopRequest().listening() as stop:
        try:
            while (state.todo or _busy(state)) and not stop():
                _assign(state)
                _listen(state, _TICK)
                if _given_up_waiting(state):
                    break
        except KeyboardInterrupt:
            pass
        finally:
            _dismiss(state)
    if stop():
        raise Interrupted("stopped")
    return state.outcomes | {cell.run_name: Outcome("busy", "left to its owner") for _, _, cell in state.todo}


def _busy(state: _Pool) -> list[_Worker]:
    return [w for w in state.workers if w is not None and w.job is not None]


def _given_up_waiting(state: _Pool) -> bool:
    if _busy(state) or state.patience is None:
        return False
    return bool(state.todo) and time.monotonic() - state.worked > state.patience


def _assign(state: _Pool) -> None:
    """None; every idle worker has a cell, as far as there are cells whose time has come."""
    for index, member in enumerate(state.workers):
        if not state.todo or state.todo[0][0] > time.monotonic():
            return
        if member is not None and member.job is not None:
            continue
        if member is None or not member.process.is_alive():
            member = state.workers[index] = _hire(state, index)
        _, number, cell = heapq.heappop(state.todo)
        member.job = (number, cell)
        with contextlib.suppress(OSError):  # it died just now, and _listen will find out
            member.connection.send(cell)


def _hire(state: _Pool, index: int) -> _Worker:
    place, devices = state.place, state.size.devices
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([worker.__name__])  # torch takes seconds to import: once, not for every worker
    ours, theirs = context.Pipe()
    process = context.Process(
        target=worker.serve,
        args=(
            theirs,
            place.runs,
            replace(place.settings, device=devices[index % len(devices)]),
            (place.data_root, place.data_cache),
            place.retry_failed,
            state.size.threads,
        ),
        name=f"worker {index}",
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, worker.BLOCKED)
    try:
        with _without_main():
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return _Worker(process, ours)


def _listen(state: _Pool, seconds: float) -> None:
    """None; everything the workers have said within `seconds` is taken in, and the dead are struck off."""
    members = [member for member in state.workers if member is not None]
    waitable: list[Any] = [member.connection for member in members] + [member.process.sentinel for member in members]
    if not waitable:
        time.sleep(seconds)
        return
    ready = wait(waitable, timeout=seconds)
    for index, member in enumerate(state.workers):
        if member is None or not (member.connection in ready or member.process.sentinel in ready):
            continue
        dead = not member.process.is_alive()  # asked first: what it said before it died is read below
        with contextlib.suppress(EOFError, OSError):
            while member.connection.poll():
                _take_in(state, member, *member.connection.recv())
        if dead:
            _bury(state, member)
            state.workers[index] = None


def _take_in(state: _Pool, member: _Worker, kind: str, value: Any) -> None:
    assert member.job is not None
    number, cell = member.job
    state.worked = time.monotonic()
    if kind == "epoch":
        state.progress.epoch(number, cell, value)
        return
    member.job = None
    if kind == "interrupted":
        heapq.heappush(state.todo, (0.0, number, cell))
    elif value.state == "busy":
        heapq.heappush(state.todo, (time.monotonic() + POLL, number, cell))
        if cell.run_name not in state.told:
            state.told.add(cell.run_name)
            state.progress.say(f"[{number}/{len(state.cells)}] {value.message}; it is left for later")
    else:
        state.outcomes[cell.run_name] = value
        if value.state != "done":
            state.progress.say(f"[{number}/{len(state.cells)}] {cell.slug}: {value.state}: {value.message}")


def _bury(state: _Pool, member: _Worker) -> None:
    member.connection.close()
    if member.job is None:
        return
    number, cell = member.job
    epoch = run_state(state.place.runs, cell).epoch
    before, count = state.deaths.get(cell.run_name, (epoch, 0))
    count = count + 1 if epoch == before else 1
    state.deaths[cell.run_name] = (epoch, count)
    sentence = f"its worker, process {member.process.pid}, {_cause(member.process.exitcode)}"
    if count < DEATHS:
        state.progress.say(f"[{number}/{len(state.cells)}] {cell.slug}: {sentence}; another one continues")
        heapq.heappush(state.todo, (0.0, number, cell))
        return
    outcome = give_up(cell, state.place, f"{sentence}, the {count}th in epoch {epoch + 1}")
    state.outcomes[cell.run_name] = outcome
    state.progress.say(f"[{number}/{len(state.cells)}] {cell.slug}: failed: {outcome.message}")


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit status {code}"


def _dismiss(state: _Pool) -> None:
    """None; no worker is left: the idle ones have nothing more to do, the others stop with a checkpoint."""
    members = [member for member in state.workers if member is not None]
    for member in members:
        if member.job is not None and member.process.is_alive():
            member.process.terminate()
        member.connection.close()
    try:
        for member in members:
            member.process.join()
    except KeyboardInterrupt:  # asked a second time: their last checkpoints must do
        for member in members:
            member.process.kill()
            member.process.join()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    # Otherwise every new worker would first import the script that runs here, and all that it needs: seconds each.
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
