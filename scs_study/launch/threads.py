"""Several cells at once in one process, each in a thread with a CUDA stream of its own.

A network of 25K parameters does not fill a GPU. Processes on one GPU take turns; streams of one process overlap, and
graphs leave the host so little to do that one process feeds many of them. Every cell is computed as by any worker, so
that locks, checkpoints and records are as ever, and one that diverges or fails ends alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch

from scs_study.config.schema import CellConfig, whole
from scs_study.experiments.work import GridSource, Job, Stop, WorkSource, epochs_left, jobs_of
from scs_study.launch.run_job import run_jobs
from scs_study.runs.context import RunContext
from scs_study.runs.lock import Heartbeats
from scs_study.runs.progress import Progress
from scs_study.runs.state import Outcome
from scs_study.training.cuda_stream import MOST_THREADS, on_own_stream
from scs_study.training.stopping import Interrupted, StopRequest

_TICK = 0.2


class SharedSource(WorkSource, Protocol):
    """A source that several threads may call at the same time."""

    def close(self) -> None:
        """Begin no further job: whoever waits for one gets none."""


def thread_count(key: str, value: object) -> int:
    """Return how many cells at once in a process the setting `key` means. Raises ValueError."""
    count = whole(key, value, 1)
    if count > MOST_THREADS:
        raise ValueError(f"{key}={count}: at most {MOST_THREADS} cells have streams of their own on a GPU")
    return count


def by_numerics(cells: Sequence[CellConfig]) -> list[list[CellConfig]]:
    """Return the cells in groups of the same numerics, in their order otherwise: precision is a process's setting."""
    classes = dict.fromkeys(cell.train.numerics for cell in cells)
    return [[cell for cell in cells if cell.train.numerics == numerics] for numerics in classes]


def side_by_side(
    cells: Sequence[CellConfig], context: RunContext, count: int, deadline: float | None = None
) -> dict[str, Outcome]:
    """Return what became of every cell, by run name: `count` of them at a time, in this process. deadline: as `inline`.

    Only cells of the same numerics are computed at the same time. After an error that leaves CUDA unusable, which only
    the end of the process mends, no further cell is begun. Raises as `inline`.
    """
    context = replace(context, settings=replace(context.settings, alone=count == 1, at_once=count))
    progress = Progress.start(cells, epochs_left(cells, context.runs))
    outcomes: dict[str, Outcome] = {}
    with StopRequest(deadline=deadline).listening() as stop:
        for group in by_numerics(cells):
            jobs = [job for job in jobs_of(cells) if job.cell.train.numerics == group[0].train.numerics]
            source = GridSource(jobs, context.runs, progress)
            shared = _OneAtATime(source, context.settings.device)
            try:
                run_threads(shared, context, stop, min(count, len(jobs)))
            except KeyboardInterrupt:
                raise Interrupted("stopped at once; the runs continue from their last checkpoints") from None
            outcomes |= source.outcomes
            if stop() and not stop.out_of_time:
                raise Interrupted("stopped")
            if shared.broken:
                left = [job.cell.run_name for job in jobs if source.outcomes[job.cell.run_name].state == "busy"]
                outcomes |= dict.fromkeys(left, Outcome("failed", shared.broken))
    return outcomes


def run_threads(source: SharedSource, context: RunContext, stop: Callable[[], bool], count: int) -> None:
    """Compute the jobs of `source` by `count` threads until it is exhausted, or `stop()` turned true.

    Raises what a thread has raised; no further job is begun then, and those under way are ended first.
    """
    raised: list[BaseException] = []
    heartbeats: Heartbeats = {}  # one thread at a time looks at a run, now this one and now that

    def work() -> None:
        try:
            with on_own_stream(context.settings.device):
                run_jobs(source, context, stop, heartbeats)
        except Interrupted:
            pass
        except BaseException as error:  # nobody waits for what a thread raises
            raised.append(error)
            source.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        threads[0].join(_TICK)  # never for long: a signal is heard between two waits only
        threads.sort(key=threading.Thread.is_alive, reverse=True)
        if stop():
            source.close()
    if raised:
        raise raised[0]


class _OneAtATime:
    """A source that one thread at a time asks. broken: why no further job is begun."""

    def __init__(self, source: WorkSource, device: torch.device) -> None:
        self._source, self._device, self._lock, self._closed = source, device, threading.Lock(), False
        self.judges, self.broken = source.judges, ""

    def acquire(self, stop: Stop) -> Job | None:
        """Return the next job, None when there is none now or no further one is begun."""
        with self._lock:
            return None if self._closed else self._source.acquire(stop)

    def exhausted(self) -> bool:
        """Return whether there will be no more jobs."""
        with self._lock:
            return self._closed or self._source.exhausted()

    def report(self, job: Job, line: Mapping[str, Any]) -> bool:
        """Hand the epoch on, and return whether the run goes on."""
        with self._lock:
            return self._source.report(job, line)

    def finish(self, job: Job, outcome: Outcome) -> None:
        """Hand the outcome on, and begin no further job after an error that has left CUDA unusable."""
        broken = outcome.state == "failed" and not usable(self._device)
        with self._lock:
            if broken and not self.broken:
                name = job.cell.run_name
                self.broken = f"not begun: {name} left CUDA unusable; the same command goes on in a new process"
                self._closed = True
            self._source.finish(job, outcome)

    def requeue(self, job: Job, killed: bool = False) -> None:
        """Hand the job back."""
        with self._lock:
            self._source.requeue(job, killed)

    def say(self, text: str) -> None:
        """Print a line."""
        with self._lock:
            self._source.say(text)

    def close(self) -> None:
        """Begin no further job."""
        self._closed = True


def usable(device: torch.device) -> bool:
    """Return whether the device still computes after an error: some leave CUDA unusable for all of the process."""
    if device.type != "cuda":
        return True
    try:
        torch.zeros((), device=device).item()
    except RuntimeError:
        return False
    return True
