"""A process of a pool: gets jobs from its parent, computes one or several at a time, reports epochs and outcomes."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from scs_study.experiments.work import Job, Stop
from scs_study.launch.run_job import run_jobs
from scs_study.launch.threads import run_threads, usable
from scs_study.runs.context import RunContext
from scs_study.runs.state import Outcome, run_state
from scs_study.training.process import prepare_process
from scs_study.training.run_dir import write_status
from scs_study.training.stopping import WARNING, Interrupted, StopRequest

BLOCKED = (signal.SIGTERM, *WARNING)
"""Signals that wait until a worker can handle them; the fork server, which only forks, never gets them."""
BROKEN = 70
"""Exit status of a worker whose CUDA an error has left unusable for all of its runs (EX_SOFTWARE of sysexits.h)."""


@dataclass(frozen=True)
class Order:
    """A job for a worker. judged: after every epoch it waits for the parent's word whether the run goes on."""

    job: Job
    judged: bool


def worker_loop(connection: Connection, context: RunContext, threads: int, side_by_side: int) -> None:
    """Compute jobs until the parent has no more or is gone, `side_by_side` of them at the same time.

    Receives what ParentSource does. SIGTERM, and the parent's death, stop the runs with a checkpoint. SIGINT is left to
    the parent, which sends SIGTERM: on a terminal it reaches all processes at once.
    """
    prepare_process()
    torch.set_num_threads(threads)
    if context.settings.device.type == "cuda":
        torch.cuda.set_device(context.settings.device)
    source = ParentSource(connection, context, side_by_side)
    # Patient: SLURM signals all processes of a task, and then the parent passes the same on.
    with StopRequest(patient=True).listening((signal.SIGTERM,)) as request:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)

        def stop() -> bool:
            return request() or source.over

        with contextlib.suppress(Interrupted, KeyboardInterrupt):
            if side_by_side == 1:  # in the main thread, whose freed memory is kept (training/process.py)
                run_jobs(source, context, stop)
            else:
                run_threads(source, context, stop, side_by_side)


def ends_with_failure(device: torch.device, side_by_side: int) -> bool:
    """Return whether a worker ends when a job of it has failed: what an error leaves of a CUDA context, or of memory
    that others share, must not fail the next job.
    """
    return device.type == "cuda" or side_by_side > 1


class ParentSource:
    """The jobs that a worker's parent has for it, a SharedSource.

    Receives Order, and (job number, whether the run goes on) after an epoch of a judged one. Sends ("epoch", job
    number, line), ("outcome", job number, Outcome) and ("interrupted", job number, ""). over: all runs are to stop,
    because the parent has no more or is gone, or this process is to end.
    """

    judges = True

    def __init__(self, connection: Connection, context: RunContext, side_by_side: int) -> None:
        self.over = False
        self._connection, self._context, self._side_by_side = connection, context, side_by_side
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._answers: dict[int, queue.SimpleQueue[bool]] = {}
        """Of the judged jobs."""
        self._running: set[int] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True, name="orders").start()

    def acquire(self, stop: Stop) -> Job | None:
        """Return the next job, waited for; None when no further one is begun."""
        order = self._orders.get()
        if order is None:
            self._orders.put(None)  # for the next thread
            return None
        with self._lock:
            self._running.add(order.job.number)
        return order.job

    def exhausted(self) -> bool:
        """Return whether no further job is begun."""
        return self.over

    def report(self, job: Job, line: Mapping[str, Any]) -> bool:
        """Tell the parent of an epoch, and return whether the run goes on."""
        self._send("epoch", job, line)
        answers = self._answers.get(job.number)
        return True if answers is None else answers.get()

    def finish(self, job: Job, outcome: Outcome) -> None:
        """Tell the parent what became of a job. One that failed may end the process (ends_with_failure).

        Where CUDA is unusable then, and others were computed beside it, nobody can tell whose error it was: the process
        ends as if it was killed.
        """
        device, last = self._context.settings.device, False
        if outcome.state == "failed" and ends_with_failure(device, self._side_by_side):
            last = True
            if len(self._running) > 1 and not usable(device):
                epoch = run_state(self._context.runs, job.cell).epoch
                folder = self._context.runs / job.cell.run_name
                write_status(folder, "interrupted", epoch, job.cell.train.epochs, outcome.message)
                os._exit(BROKEN)
        self._leave(job)
        self._send("outcome", job, outcome)
        if last:
            self.close()

    def requeue(self, job: Job, killed: bool = False) -> None:
        """Give a job back that was stopped."""
        self._leave(job)
        self._send("interrupted", job, "")

    def say(self, text: str) -> None:
        """Do nothing: the parent speaks."""

    def close(self) -> None:
        """Begin no further job, have all runs stopped, and wait for no answer."""
        self.over = True
        self._orders.put(None)
        for answers in list(self._answers.values()):
            answers.put(True)

    def _listen(self) -> None:
        with contextlib.suppress(EOFError, OSError):  # the parent has no more, or is gone
            while True:
                message = self._connection.recv()
                if isinstance(message, Order):
                    self._answers.pop(message.job.number, None)
                    if message.judged:
                        self._answers[message.job.number] = queue.SimpleQueue()
                    self._orders.put(message)
                else:
                    number, goes_on = message
                    self._answers[number].put(goes_on)
        self.close()

    def _leave(self, job: Job) -> None:
        with self._lock:
            self._running.discard(job.number)

    def _send(self, kind: str, job: Job, value: Any) -> None:
        with self._lock, contextlib.suppress(OSError):  # the parent is gone, and its death is noticed elsewhere
            self._connection.send((kind, job.number, value))
