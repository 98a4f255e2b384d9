"""The workers of a pool: who is at which jobs, who gets the next one, and what the death of one means for its jobs.

Jobs that share a process share its death, and nobody can tell which of them it was. So all of them are suspects then: a
suspect has a process to itself until it has completed the epoch that the death cut short, which clears it, or until it
has killed DEATHS of its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import time
import types
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from scs_study.experiments.work import Job, WorkSource
from scs_study.launch import worker
from scs_study.launch.pool_size import PoolSize
from scs_study.launch.worker import Order, ends_with_failure
from scs_study.runs.context import RunContext
from scs_study.runs.run_one import give_up
from scs_study.runs.state import run_state

DEATHS = 3
"""A job whose worker dies so often without completing another epoch has failed: it kills whoever works on it."""


@dataclass
class Member:
    """A worker, and the orders it is at, by job number. recalled: jobs it was told to give back. leaving: it ends."""

    process: BaseProcess
    connection: Connection
    orders: dict[int, Order] = field(default_factory=dict)
    recalled: set[int] = field(default_factory=set)
    leaving: bool = False


@dataclass
class Crew:
    """The workers of a pool. deaths: by run name, the epoch of the last death, and how many there were of its own.

    suspects: jobs that are to be computed alone. waiting: others that no worker can take now. looked: by run name, the
    place of the worker that has found another process at it.
    """

    source: WorkSource
    context: RunContext
    size: PoolSize
    members: list[Member | None]
    deaths: dict[str, tuple[int, int]] = field(default_factory=dict)
    suspects: deque[Job] = field(default_factory=deque)
    waiting: list[Job] = field(default_factory=list)
    looked: dict[str, int] = field(default_factory=dict)

    def present(self) -> list[Member]:
        """Return the workers that have been started and not been seen dead."""
        return [member for member in self.members if member is not None]

    def held(self) -> list[Job]:
        """Return all jobs that were taken from the source and have no end."""
        given = [order.job for member in self.present() for order in member.orders.values()]
        return [*given, *self.waiting, *self.suspects]


def assign(crew: Crew, stop: Callable[[], bool]) -> None:
    """Give jobs to the workers that have room, as far as there are any."""
    for index, member in enumerate(crew.members):
        if crew.suspects and (member is None or not (member.orders or member.leaving)):
            _give(crew, index, crew.suspects.popleft())
    crew.waiting = [job for job in crew.waiting if not _placed(crew, job)]
    while not crew.waiting and any(_room(crew, member) for member in crew.members):
        job = crew.source.acquire(stop)
        if job is None:
            return
        if _suspected(crew, job):
            crew.suspects.append(job)
        elif not _placed(crew, job):
            crew.waiting.append(job)


def listen(crew: Crew, seconds: float) -> None:
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
        for kind, number, value in _received(member.connection):
            _take_in(crew, member, kind, number, value)
        if dead:
            crew.members[index] = None
            _reap(crew, member)


def _suspected(crew: Crew, job: Job) -> bool:
    # A job that has all of its process anyway needs no other treatment.
    return crew.size.side_by_side > 1 and job.cell.run_name in crew.deaths


def _room(crew: Crew, member: Member | None, numerics: str | None = None) -> bool:
    """Whether a worker can take a job that may be computed beside others; of those numerics, where they are given."""
    if member is None:
        return True
    if member.leaving or len(member.orders) >= crew.size.side_by_side:
        return False
    there = [order.job for order in member.orders.values()]
    if any(_suspected(crew, job) for job in there):
        return False
    # Precision is a setting of the process.
    return numerics is None or all(job.cell.train.numerics == numerics for job in there)


def _placed(crew: Crew, job: Job) -> bool:
    """Give a job to the worker that has least to do, and return whether there was one.

    A run of another process goes to the worker that has looked at it before, if it can take it: only who looks again
    and again finds out that its owner is dead (runs/lock.py).
    """
    fitting = [i for i, member in enumerate(crew.members) if _room(crew, member, job.cell.train.numerics)]
    if not fitting:
        return False
    index = crew.looked.get(job.cell.run_name)
    if index not in fitting:
        index = min(fitting, key=lambda i: len(m.orders) if (m := crew.members[i]) is not None else 0)
    _give(crew, index, job)
    return True


def _give(crew: Crew, index: int, job: Job) -> None:
    member = crew.members[index]
    if member is None or not (member.orders or member.process.is_alive()):
        member = crew.members[index] = _spawn(crew, index)
    order = Order(job, crew.source.judges or _suspected(crew, job))
    member.orders[job.number] = order
    with contextlib.suppress(OSError):  # it died just now, and `listen` will find out
        member.connection.send(order)


def _spawn(crew: Crew, index: int) -> Member:
    context, size = crew.context, crew.size
    forkserver = multiprocessing.get_context("forkserver")  # forked from here they could not use CUDA
    # torch takes seconds to import, and what its optimisers import another: once, not for every worker.
    forkserver.set_forkserver_preload([worker.__name__, "torch._dynamo"])
    ours, theirs = forkserver.Pipe()
    device, alone = size.devices[index % len(size.devices)], size.side_by_side == 1
    settings = replace(context.settings, device=device, at_once=size.on_each, alone=alone)
    there = replace(context, settings=settings, _images={})
    process = forkserver.Process(
        target=worker.worker_loop, args=(theirs, there, size.threads, size.side_by_side), name=f"worker {index}"
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, worker.BLOCKED)
    try:
        with without_main():
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return Member(process, ours)


def _received(connection: Connection) -> Iterator[tuple[str, int, Any]]:
    with contextlib.suppress(EOFError, OSError):  # it is dead, or the connection is closed
        while connection.poll():
            yield connection.recv()


def _take_in(crew: Crew, member: Member, kind: str, number: int, value: Any) -> None:
    order = member.orders[number]
    if kind == "epoch":
        goes_on = _goes_on(crew, member, order.job, value)
        if order.judged:
            with contextlib.suppress(OSError):  # it died just now
                member.connection.send((number, goes_on))
        return
    del member.orders[number]
    recalled = number in member.recalled
    member.recalled.discard(number)
    if kind == "interrupted":
        member.leaving = True
        crew.source.requeue(order.job)
    elif recalled and value.state == "interrupted":
        crew.waiting.append(order.job)
    else:
        member.leaving |= value.state == "failed" and ends_with_failure(crew.size.devices[0], crew.size.side_by_side)
        if value.state == "busy":
            crew.looked[order.job.cell.run_name] = crew.members.index(member)
        else:
            crew.deaths.pop(order.job.cell.run_name, None)
        crew.source.finish(order.job, value)


def _goes_on(crew: Crew, member: Member, job: Job, line: dict[str, Any]) -> bool:
    """Hand an epoch on, and return whether the run goes on there; a suspect that is cleared makes place for another."""
    goes_on, name = crew.source.report(job, line), job.cell.run_name
    if name not in crew.deaths or line["epoch"] <= crew.deaths[name][0]:
        return goes_on
    del crew.deaths[name]
    if goes_on and crew.suspects:
        member.recalled.add(job.number)
        return False
    return goes_on


def _reap(crew: Crew, member: Member) -> None:
    """See to the jobs of a worker that is dead."""
    member.connection.close()
    jobs = [order.job for order in member.orders.values()]
    if member.leaving:  # as it said: whatever it had left is none of these jobs' fault
        crew.waiting += jobs
        return
    shared = len(jobs) > 1
    its = f"its worker, process {member.process.pid}, {_cause(member.process.exitcode)}"
    if shared:
        crew.source.say(
            f"worker process {member.process.pid} {_cause(member.process.exitcode)} with {len(jobs)} runs in it, which "
            "go on from their checkpoints, each alone until it is known whether it kills"
        )
    for job in jobs:
        name, epoch = job.cell.run_name, run_state(crew.context.runs, job.cell).epoch
        before, count = crew.deaths.get(name, (epoch, 0))
        count = 0 if shared else count + 1 if epoch == before else 1
        crew.deaths[name] = (epoch, count)
        if count >= DEATHS:
            outcome = give_up(job.cell, crew.context, f"{its}, the {count}th in epoch {epoch + 1}")
            del crew.deaths[name]
            crew.source.finish(job, outcome)
            continue
        if not shared:
            crew.source.say(f"{job.title}: {its}; another one continues")
        if _suspected(crew, job):
            crew.suspects.append(job)
        else:
            crew.source.requeue(job, killed=True)


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    if code == worker.BROKEN:
        return "was left without CUDA by an error"
    return f"ended with exit status {code}"


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Return a context in which a process that is started does not first import the script that runs here."""
    # And all that it needs: seconds each.
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
