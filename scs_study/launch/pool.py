"""Jobs on one machine, by several processes at once; the death of one costs nobody but its job."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from scs_study.config.schema import CellConfig, whole
from scs_study.experiments.work import GridSource, Job, WorkSource
from scs_study.launch import worker
from scs_study.runs.context import RunContext
from scs_study.runs.run_one import give_up
from scs_study.runs.state import Outcome, run_state
from scs_study.training.stopping import Interrupted, StopRequest

DEATHS = 3
"""A job whose worker dies so often without completing another epoch has failed: it kills whoever works on it."""
_TICK = 0.5


@dataclass(frozen=True)
class PoolSize:
    """How many processes, with how many threads each, on which devices (taken in turn)."""

    workers: int
    threads: int
    devices: tuple[torch.device, ...]


def pool_size(device: torch.device, workers: int | None, per_gpu: int, threads: int | None) -> PoolSize:
    """Return the pool for a machine: `workers`, or one a CPU core, or `per_gpu` for every visible GPU.

    threads: CPU threads of each, 1 where it is None: with another number the last bits of a result are others.
    Raises ValueError for numbers below 1.
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


def pool(
    cells: Sequence[CellConfig],
    context: RunContext,
    size: PoolSize,
    wait_timeout: float | None = None,
    deadline: float | None = None,
) -> dict[str, Outcome]:
    """Return what became of every cell, by run name. wait_timeout: as for GridSource. deadline: as for StopRequest.

    Raises as `run_pool`.
    """
    source = GridSource.of(cells, context.runs, wait_timeout)
    run_pool(source, context, size, deadline)
    return source.outcomes


def run_pool(source: WorkSource, context: RunContext, size: PoolSize, deadline: float | None = None) -> None:
    """Compute all jobs of `source`, or until the deadline.

    A worker that is killed is replaced, and its job continues from its checkpoint; one that kills its workers DEATHS
    times in the same epoch has failed. Raises stopping.Interrupted after SIGTERM or SIGINT, or after SLURM's warning;
    the workers have written their checkpoints then.
    """
    crew = _Crew(source, context, size, [None] * size.workers)
    with StopRequest(deadline=deadline).listening() as stop:
        at_once = False
        try:
            while not stop():
                _assign(crew, stop)
                if not any(member and member.job for member in crew.members) and source.exhausted():
                    break
                _listen(crew, _TICK)
        except Interrupted:
            pass
        except KeyboardInterrupt:  # the second request came before the loop had seen the first
            at_once = True
        finally:
            at_once = _shut_down(crew, at_once)
        if not at_once:
            for member in crew.present():
                if member.job is not None:
                    source.requeue(member.job)
        if stop() and not stop.out_of_time:
            raise Interrupted("stopped at once" if at_once else "stopped")


@dataclass
class _Member:
    """A worker of the pool, and the job it is at."""

    process: BaseProcess
    connection: Connection
    job: Job | None = None


@dataclass
class _Crew:
    """The workers of a pool. deaths: by run name, the epoch in which workers died last, and how many."""

    source: WorkSource
    context: RunContext
    size: PoolSize
    members: list[_Member | None]
    deaths: dict[str, tuple[int, int]] = field(default_factory=dict)

    def present(self) -> list[_Member]:
        """Return the workers that have been started and not been seen dead."""
        return [member for member in self.members if member is not None]


def _assign(crew: _Crew, stop: Callable[[], bool]) -> None:
    """Give every idle worker a job, as far as there are any."""
    for index, member in enumerate(crew.members):
        if member is not None and member.job is not None:
            continue
        job = crew.source.acquire(stop)
        if job is None:
            return
        if member is None or not member.process.is_alive():
            member = crew.members[index] = _spawn(crew, index)
        member.job = job
        with contextlib.suppress(OSError):  # it died just now, and _listen will find out
            member.connection.send(job.cell)


def _spawn(crew: _Crew, index: int) -> _Member:
    context, devices = crew.context, crew.size.devices
    forkserver = multiprocessing.get_context("forkserver")  # forked from here they could not use CUDA
    # torch takes seconds to import, and what its optimisers import another: once, not for every worker.
    forkserver.set_forkserver_preload([worker.__name__, "torch._dynamo"])
    ours, theirs = forkserver.Pipe()
    on_each = math.ceil(crew.size.workers / len(devices))
    settings = replace(context.settings, device=devices[index % len(devices)], at_once=on_each)
    there = replace(context, settings=settings, _images={})
    process = forkserver.Process(
        target=worker.worker_loop, args=(theirs, there, crew.size.threads, crew.source.judges), name=f"worker {index}"
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, worker.BLOCKED)
    try:
        with _without_main():
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return _Member(process, ours)


def _listen(crew: _Crew, seconds: float) -> None:
    """Take in everything that the workers have said within `seconds`, and remove the dead."""
    members = crew.present()
    waitable: list[Any] = [member.connection for member in members] + [member.process.sentinel for member in members]
    if not waitable:
        time.sleep(seconds)
        return
    ready = wait(waitable, timeout=seconds)
    for index, member in enumerate(crew.members):
        if member is None or not (member.connection in ready or member.process.sentinel in ready):
            continue
        dead = not member.process.is_alive()  # asked first: what it said before it died is read below
        for kind, value in _received(member.connection):
            _take_in(crew.source, member, kind, value)
        if dead:
            crew.members[index] = None
            _reap(crew, member)


def _received(connection: Connection) -> Iterator[tuple[str, Any]]:
    with contextlib.suppress(EOFError, OSError):  # it is dead, or the connection is closed
        while connection.poll():
            yield connection.recv()


def _take_in(source: WorkSource, member: _Member, kind: str, value: Any) -> None:
    assert member.job is not None
    if kind == "epoch":
        goes_on = source.report(member.job, value)
        if source.judges:
            with contextlib.suppress(OSError):  # it died just now
                member.connection.send(goes_on)
        return
    job, member.job = member.job, None
    if kind == "interrupted":
        source.requeue(job)
    else:
        source.finish(job, value)


def _reap(crew: _Crew, member: _Member) -> None:
    """See to the job of a worker that is dead."""
    member.connection.close()
    if member.job is None:
        return
    job = member.job
    epoch = run_state(crew.context.runs, job.cell).epoch
    before, count = crew.deaths.get(job.cell.run_name, (epoch, 0))
    count = count + 1 if epoch == before else 1
    crew.deaths[job.cell.run_name] = (epoch, count)
    sentence = f"its worker, process {member.process.pid}, {_cause(member.process.exitcode)}"
    if count < DEATHS:
        crew.source.say(f"{job.title}: {sentence}; another one continues")
        crew.source.requeue(job, killed=True)
        return
    crew.source.finish(job, give_up(job.cell, crew.context, f"{sentence}, the {count}th in epoch {epoch + 1}"))


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit status {code}"


def _shut_down(crew: _Crew, at_once: bool) -> bool:
    """End all workers, and return whether they were killed: `at_once`, or because that is asked for meanwhile.

    Otherwise the idle are told that there is no more to do, and the others write a checkpoint first.
    """
    members = crew.present()
    if not at_once:
        try:
            for member in members:
                if member.job is not None and member.process.is_alive():
                    member.process.terminate()
                member.connection.close()
            for member in members:
                member.process.join()
        except KeyboardInterrupt:
            at_once = True
    if at_once:  # their last checkpoints must do
        for member in members:
            member.process.kill()
            member.process.join()
            member.connection.close()
    return at_once


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    # Otherwise every new worker would first import the script that runs here, and all that it needs: seconds each.
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
