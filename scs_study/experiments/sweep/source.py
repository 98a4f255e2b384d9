"""The trials of a sweep as jobs: starts them, reports their epochs to Optuna, gives up what the pruner gives up."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from scs_study.experiments.sweep.scheduler import INTERRUPTED, KILLED, AcquiredTrial, TrialScheduler
from scs_study.experiments.sweep.settings import ACCURACY, PARAMETERS, Sweep
from scs_study.experiments.sweep.storage import join
from scs_study.experiments.work import POLL, Job, Stop
from scs_study.runs import stopped as by_user
from scs_study.runs.lock import Heartbeats
from scs_study.runs.progress import QUIET
from scs_study.runs.state import Outcome
from scs_study.system import files
from scs_study.system.console import say
from scs_study.training import run_dir as run_folder

RESULTS = {ACCURACY: "best_test_accuracy", PARAMETERS: "parameters"}
"""Where a run's result.json has what a sweep looks for."""
REPORTED = "reported"


@dataclass(frozen=True)
class SweepPlan:
    """A sweep and its Optuna study: the study's name, and its storage's URL, None for a journal beside the runs."""

    sweep: Sweep
    name: str
    url: str | None


@dataclass
class _Trial:
    """A trial of ours. pruned: Optuna gave it up. taken_over: it counts as dead, and another worker has it by now."""

    taken: AcquiredTrial
    reported: int = 0
    printed: float = 0.0
    pruned: bool = False
    taken_over: bool = False


class SweepSource:
    """The trials of a study that several commands, on several machines, may work on.

    Optuna hears a run's best test accuracy so far, after every sweep.report_every epochs and after the last one. All
    trials report after the same epochs, whatever they resume from: a pruner compares equal epochs. The epochs before a
    checkpoint come from the run's own records. The best so far, because it is what the paper reports (systems.md 7: the
    maximum over the epochs) and because one unlucky epoch must not end a trial.
    """

    judges = True

    def __init__(self, scheduler: TrialScheduler) -> None:
        self._scheduler = scheduler
        self._trials: dict[int, _Trial] = {}
        self._busy: list[tuple[float, int, Job]] = []
        self._look_at, self._waits = 0.0, False
        self._unfinished = 1

    @classmethod
    def of(cls, plan: SweepPlan, runs: Path, retry_failed: bool, stop: Stop = lambda: False) -> SweepSource:
        """Return the trials of the study, which is made if it is not there yet.

        retry_failed: those that failed are tried again. Raises ValueError in one sentence for settings that the study
        was not made with, and stopping.Interrupted when `stop()` turned true.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        heartbeats: Heartbeats = {}
        scheduler = TrialScheduler(
            join(plan.sweep, plan.name, plan.url, runs, stop, heartbeats), plan.sweep, runs, heartbeats
        )
        again = scheduler.retry_failed() if retry_failed else 0
        if again:
            say(f"{again} trials that failed before are tried again")
        return cls(scheduler)

    def acquire(self, stop: Stop) -> Job | None:
        """Return the next trial, None when there is none now: trials of other workers are waited for.

        A worker may die, and then its trial is ours.
        """
        now = time.monotonic()
        if self._busy and self._busy[0][0] <= now:
            return heapq.heappop(self._busy)[-1]
        if now < self._look_at:
            return None
        self._look_at = now + POLL
        taken = None
        if not self._waits or self._scheduler.worth_asking():
            taken = self._scheduler.acquire(stop)
        if taken is None:
            self._unfinished = self._scheduler.others()
            others = self._unfinished - len(self._trials)
            if others > 0 and not self._waits:
                self.say(f"no trial is left to take; waiting for {others} of other workers")
            self._waits = True
            return None
        self._look_at, self._waits = 0.0, False
        number, cell = taken.trial.number, taken.cell
        self._trials[number] = _Trial(taken, printed=time.monotonic())
        job = Job(number, cell, f"trial {number}, {self._scheduler.sweep.describe(taken.point)}, seed {cell.seed}")
        again = taken.trial.user_attrs.get("retry_of")
        self.say(f"{job.title}: starts" + ("" if again is None else f", in place of trial {again}"))
        return job

    def exhausted(self) -> bool:
        """Return whether every trial has an end, so that nobody's may become ours."""
        return not self._busy and not self._unfinished

    def report(self, job: Job, line: Mapping[str, Any]) -> bool:
        """Tell Optuna, and return whether the trial goes on."""
        trial, epoch, epochs = self._trials[job.number], line["epoch"], job.cell.train.epochs
        if line["test_accuracy"] is None:
            return True
        due = self._catch_up(job, epoch)
        if due and epoch < epochs and not trial.taken_over and self._one:
            trial.pruned = trial.taken.trial.should_prune()
        if time.monotonic() - trial.printed >= QUIET and epoch < epochs and not trial.pruned:
            trial.printed = time.monotonic()
            self.say(f"{job.title}: epoch {epoch}/{epochs}, accuracy {line['test_accuracy']:.4f}")
        return not (trial.pruned or trial.taken_over)

    def finish(self, job: Job, outcome: Outcome) -> None:
        """Tell Optuna how the trial ended; one whose run another process is at is tried again later."""
        if outcome.state == "busy":
            heapq.heappush(self._busy, (time.monotonic() + POLL, job.number, job))
            return
        if outcome.state == "interrupted":
            self._end_early(job)
            return
        taken, folder = self._trials[job.number].taken, self._scheduler.runs / job.cell.run_name
        if outcome.state in ("failed", by_user.STOPPED):
            self._end(job, lambda: self._scheduler.fail(taken, outcome.message))
            where = f" (see {folder / run_folder.ERROR})" if outcome.state == "failed" else ""
            self.say(f"{job.title}: {outcome.state}: {outcome.message}{where}")
            return
        self._catch_up(job, job.cell.train.epochs)  # a run that was done already has reported nothing yet
        result = files.read_json(folder / run_folder.RESULT)
        if outcome.state == "diverged":
            self._end(job, lambda: self._scheduler.prune(taken))
            self.say(f"{job.title}: {outcome.message}")
        else:
            values = [result[RESULTS[each]] for each in self._scheduler.sweep.objectives]
            self._end(job, lambda: self._scheduler.complete(taken, *values))
            words = [f"best accuracy {result[RESULTS[ACCURACY]]:.4f}"]
            words += [f"{result[each]} {each}" for each in self._scheduler.sweep.objectives if each != ACCURACY]
            self.say(f"{job.title}: {outcome.state}, {', '.join(words)}")

    def requeue(self, job: Job, killed: bool = False) -> None:
        """Give the trial back: it, or one in its place, goes on from its checkpoint."""
        trial = self._trials[job.number]
        if trial.pruned or trial.taken_over:
            self._end_early(job)
            return
        self._end(job, lambda: self._scheduler.requeue(trial.taken, KILLED if killed else INTERRUPTED))

    def say(self, text: str) -> None:
        """Print a line."""
        say(text)

    def _end_early(self, job: Job) -> None:
        trial = self._trials[job.number]
        if trial.pruned:
            self._end(job, lambda: self._scheduler.prune(trial.taken))
            epochs = len(files.read_lines(self._scheduler.runs / job.cell.run_name / run_folder.HISTORY))
            self.say(f"{job.title}: pruned after epoch {epochs}/{job.cell.train.epochs}")
        else:
            self._end(job, lambda: self._scheduler.leave(trial.taken))
            self.say(f"{job.title}: another worker has taken it over")

    def _end(self, job: Job, tell: Callable[[], None]) -> None:
        tell()
        del self._trials[job.number]
        self._look_at, self._waits = 0.0, False

    def _catch_up(self, job: Job, epoch: int) -> bool:
        """Report `epoch` and those before it that Optuna has not got yet; return whether it is one to report after."""
        trial, best = self._trials[job.number], 0.0
        for line in files.read_lines(self._scheduler.runs / job.cell.run_name / run_folder.HISTORY)[:epoch]:
            if line["test_accuracy"] is None:
                break
            best, number = max(best, line["test_accuracy"]), line["epoch"]
            if number > trial.reported and self._due(job, number):
                try:
                    self._note(trial.taken.trial, best, number)
                except UpdateFinishedTrialError:  # this process was silent for too long and counts as dead
                    trial.taken_over = True
                    break
                trial.reported = number
        return self._due(job, epoch)

    @property
    def _one(self) -> bool:
        """Whether there is one objective: of two Optuna takes no reports, and gives nothing up."""
        return len(self._scheduler.sweep.objectives) == 1

    def _note(self, trial: optuna.Trial, best: float, epoch: int) -> None:
        """Tell Optuna of an epoch. Raises UpdateFinishedTrialError when the trial is another worker's by now."""
        if self._one:
            trial.report(best, epoch)
        else:
            trial.set_user_attr(REPORTED, epoch)

    def _due(self, job: Job, epoch: int) -> bool:
        return epoch % self._scheduler.sweep.report_every == 0 or epoch == job.cell.train.epochs
