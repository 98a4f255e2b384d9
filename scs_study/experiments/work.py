"""What is to be computed, one job after the other: of a study's grid here, of a sweep in experiments/sweep/source.py.

A launcher (launch/) asks a source for jobs, gets them computed by its workers and says what became of them. It knows
nothing of grids and sweeps, and a source knows nothing of processes.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scs_study.config.schema import CellConfig
from scs_study.runs.lock import watched
from scs_study.runs.progress import Progress
from scs_study.runs.state import Outcome, run_states
from scs_study.runs.stopped import STOPPED
from scs_study.runs.validate import read_run

POLL = 2.0
"""Seconds after which a run that another process is at is tried again."""

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Job:
    """A cell to compute. title: what messages call it."""

    number: int
    cell: CellConfig
    title: str


class WorkSource(Protocol):
    """Where jobs come from. Only the process that launches calls it, from one thread at a time."""

    @property
    def judges(self) -> bool:
        """Whether `report` may say no, so that a worker waits for its answer before it goes on."""

    def acquire(self, stop: Stop) -> Job | None:
        """Return the next job, None when there is none now. Raises stopping.Interrupted when `stop()` turned true."""

    def exhausted(self) -> bool:
        """Return whether there will be no more jobs; asked while none is being computed."""

    def report(self, job: Job, line: Mapping[str, Any]) -> bool:
        """Take note of an epoch's history line, already on the disk; return whether the run goes on."""

    def finish(self, job: Job, outcome: Outcome) -> None:
        """Take note of what became of the job: of "busy" ones later, of "interrupted" ones `report` has said no."""

    def requeue(self, job: Job, killed: bool = False) -> None:
        """Have the job computed again, from its checkpoint. killed: its worker died of it, or with it."""

    def say(self, text: str) -> None:
        """Print a line."""


def jobs_of(cells: Sequence[CellConfig]) -> list[Job]:
    """Return a job for each cell of a study, numbered from 1."""
    return [Job(n, cell, f"[{n}/{len(cells)}] {cell.slug}") for n, cell in enumerate(cells, start=1)]


class GridSource:
    """The cells of a study, in their order; one that another process works on is left for later.

    Its owner may die, and then it is ours to finish. wait_timeout: seconds without anything else to do after which such
    cells are left as "busy"; None: no end. Time counts as runs/lock.py counts an owner's silence: whoever
    can look but seldom, because disk or machine is slow, waits for longer, and not in vain.
    """

    judges = False

    def __init__(self, jobs: Iterable[Job], runs: Path, progress: Progress, wait_timeout: float | None = None) -> None:
        self._runs, self._progress, self._wait_timeout = runs, progress, wait_timeout
        self._todo = [(0.0, job.number, job) for job in jobs]
        self._outcomes: dict[str, Outcome] = {}
        self._announced: set[str] = set()
        self._looks: dict[str, tuple[float, float]] = {}
        """By run name: for how long its owner has been looked at since anything else was done, and when last."""
        heapq.heapify(self._todo)

    @classmethod
    def of(cls, cells: Sequence[CellConfig], runs: Path, wait_timeout: float | None = None) -> GridSource:
        """Return a source of the cells that prints their progress."""
        return cls(jobs_of(cells), runs, Progress.start(cells, epochs_left(cells, runs)), wait_timeout)

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """What became of every cell, by run name; "busy" is one that was left to its owner."""
        return self._outcomes | {job.cell.run_name: Outcome("busy", "left to its owner") for *_, job in self._todo}

    def acquire(self, stop: Stop) -> Job | None:
        """Return the next cell that is not done already, None when there is none now."""
        while self._todo and self._todo[0][0] <= _clock():
            *_, job = heapq.heappop(self._todo)
            run = read_run(self._runs, job.cell)
            state = run.state
            if not run.is_complete and state.state != STOPPED:
                return job
            self.finish(job, Outcome(state.state, state.message))
        return None

    def exhausted(self) -> bool:
        """Return whether all cells have an outcome, or the owners of all others were looked at for the wait timeout."""
        if self._wait_timeout is None:
            return not self._todo
        waited = [self._looks.get(job.cell.run_name, (0.0, 0.0))[0] for *_, job in self._todo]
        return all(seconds > self._wait_timeout for seconds in waited)

    def report(self, job: Job, line: Mapping[str, Any]) -> bool:
        """Print the epoch; the run goes on."""
        self._looks.clear()
        self._progress.epoch(job.number, job.cell, dict(line))
        return True

    def finish(self, job: Job, outcome: Outcome) -> None:
        """Keep the outcome, and print one that is not "done"."""
        name = job.cell.run_name
        if outcome.state == "busy":
            now = _clock()
            self._looks[name] = (watched(*self._looks.get(name, (0.0, now)), now), now)
            heapq.heappush(self._todo, (now + POLL, job.number, job))
            if name not in self._announced:
                self._announced.add(name)
                self.say(f"[{job.number}/{self._progress.total}] {outcome.message}; it is left for later")
            return
        self._looks.clear()
        self._outcomes[name] = outcome
        if outcome.state != "done":
            self.say(f"{job.title}: {outcome.state}: {outcome.message}")

    def requeue(self, job: Job, killed: bool = False) -> None:
        """Have the cell computed again."""
        self._looks.clear()
        heapq.heappush(self._todo, (0.0, job.number, job))

    def say(self, text: str) -> None:
        """Print a line below the progress."""
        self._progress.say(text)


def _clock() -> float:
    """Seconds by which a source measures its waiting."""
    return time.monotonic()


def epochs_left(cells: Sequence[CellConfig], runs: Path) -> int:
    """Return how many epochs of the cells are still to compute."""
    states = run_states(runs, cells)
    return sum(c.train.epochs - states[c.run_name].epoch for c in cells if not states[c.run_name].final)
