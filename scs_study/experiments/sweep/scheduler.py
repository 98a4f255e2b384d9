"""Hands out a study's trials: each to one worker, never more than the sweep has, a dead worker's again to another."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from scs_study.config.schema import CellConfig
from scs_study.experiments.sweep.points import Point
from scs_study.experiments.sweep.sampler import RETRY_OF, SEED, draw, drawn, queued
from scs_study.experiments.sweep.settings import Sweep
from scs_study.experiments.sweep.storage import study_folder, study_lock
from scs_study.runs.lock import Busy, Heartbeats, RunLock, acquire, owner_of
from scs_study.runs.state import run_state

TRIALS = "trials"
RUN, MESSAGE = "run", "message"
BECAUSE, EPOCH = "because", "epoch"
"""Of a trial that takes another one's point and seed up again, beside RETRY_OF: why, and the epochs done by then."""
KILLED, INTERRUPTED, FAILED = "its worker is gone", "stopped", "failed"
MOST_DEATHS = 3
"""Workers that may die of a trial in the same epoch before it is given up."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class AcquiredTrial:
    """A trial that this process works on, and the lock that tells the other workers so."""

    trial: optuna.Trial
    point: Point
    cell: CellConfig
    lock: RunLock


@dataclass
class TrialScheduler:
    """A study as one process sees it, which hands its trials to its workers."""

    study: optuna.Study
    sweep: Sweep
    runs: Path
    heartbeats: Heartbeats

    @property
    def folder(self) -> Path:
        """The folder of the study's own files."""
        return study_folder(self.runs, self.study.study_name)

    def acquire(self, stop: Callable[[], bool] = _never) -> AcquiredTrial | None:
        """Return the next trial: one that was given back, or a new one; None when all are taken.

        Optuna's journal has no heartbeat, and its states cannot tell a dead worker's trial from a live one's. So a
        worker holds a lock for its trial (runs/lock.py), taken together with the trial itself: a running trial without
        a live lock is one whose worker is gone. Raises Interrupted when `stop()` turned true in the wait for that
        of the study.
        """
        with study_lock(self.folder, stop, self.heartbeats):
            self._reclaim()
            while (trial := self._ask()) is not None:
                point, seed = draw(trial, self.sweep)
                try:
                    cell = self.sweep.cell(point, seed)
                except ValueError as error:  # settings that refuse each other, in a space too large to try beforehand
                    trial.set_user_attr(MESSAGE, str(error))
                    self.study.tell(trial, state=TrialState.PRUNED)
                    continue
                trial.set_user_attr(RUN, cell.run_name)
                held = self._held(trial.number)
                held.mkdir(parents=True, exist_ok=True)
                return AcquiredTrial(trial, point, cell, acquire(held, self.heartbeats))
            return None

    def others(self) -> int:
        """Return the number of trials that other workers are at, or have just given back."""
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)))

    def worth_asking(self) -> bool:
        """Return whether `acquire` may have something after it had nothing: a trial requeued, or one without a sign of
        life.
        """
        trials = self.study.get_trials(deepcopy=False)
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        return waiting or any(
            owner_of(self._held(trial.number), heartbeats=self.heartbeats) is None for trial in running
        )

    def complete(self, taken: AcquiredTrial, *values: float) -> None:
        """Record that the trial is done, with the values of the sweep's objectives."""
        self._tell(taken, values)

    def prune(self, taken: AcquiredTrial) -> None:
        """Record that the trial is given up. So is one that diverged: TPE steers away from it, but ignores failed
        ones.
        """
        self._tell(taken, state=TrialState.PRUNED)

    def fail(self, taken: AcquiredTrial, message: str) -> None:
        """Record that the trial's run raised. `retry_failed` has it tried again."""
        taken.trial.set_user_attr(MESSAGE, message)
        self._tell(taken, state=TrialState.FAIL)

    def requeue(self, taken: AcquiredTrial, because: str = INTERRUPTED) -> None:
        """Let another worker, or a later one, go on with the trial's point and seed from the run's checkpoint.

        because: INTERRUPTED, or KILLED, which a trial survives MOST_DEATHS - 1 times in the same epoch.
        """
        with study_lock(self.folder, _never, self.heartbeats):
            trials = self.study.get_trials(deepcopy=False)
            mine = trials[taken.trial.number]
            if mine.state == TrialState.RUNNING:
                self._again(mine, trials, because)
            self.leave(taken)

    def leave(self, taken: AcquiredTrial) -> None:
        """Free the trial: it is finished, or another worker has taken it over."""
        taken.lock.release()
        shutil.rmtree(taken.lock.path.parent, ignore_errors=True)

    def retry_failed(self) -> int:
        """Return the number of trials whose run failed and that are tried again from now on."""
        with study_lock(self.folder, _never, self.heartbeats):
            trials = self.study.get_trials(deepcopy=False)
            retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
            failed = [t for t in trials if t.state == TrialState.FAIL and t.number not in retried]
            for trial in failed:
                self._enqueue(trial, FAILED)
            return len(failed)

    def _ask(self) -> optuna.Trial | None:
        """A trial that was given back, else a new one, None when the sweep has no more."""
        trials = self.study.get_trials(deepcopy=False)
        if not any(trial.state == TrialState.WAITING for trial in trials):
            slot = sum(RETRY_OF not in trial.user_attrs for trial in trials)
            if slot >= self.sweep.total:
                return None
            self.study.enqueue_trial(self._fixed(slot))
        return self.study.ask()

    def _fixed(self, slot: int) -> dict[str, Any]:
        if self.sweep.sampler == "grid":
            return queued(*self.sweep.grid[slot], self.sweep)
        return {SEED: self.sweep.seeds[slot % len(self.sweep.seeds)]}  # the point is the sampler's

    def _held(self, number: int) -> Path:
        return self.folder / TRIALS / str(number)

    def _reclaim(self) -> None:
        trials = self.study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state != TrialState.RUNNING:
                continue
            held = self._held(trial.number)
            if held.exists():
                try:
                    acquire(held, self.heartbeats).release()
                except Busy:
                    continue
            self._again(trial, trials, KILLED)
            shutil.rmtree(held, ignore_errors=True)

    def _again(self, trial: FrozenTrial, trials: list[FrozenTrial], because: str) -> None:
        # Queue first, close then: a death in between loses nothing.
        deaths = self._deaths(trial, trials) if because == KILLED else 0
        if deaths < MOST_DEATHS and not any(other.user_attrs.get(RETRY_OF) == trial.number for other in trials):
            self._enqueue(trial, because)
        self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _deaths(self, trial: FrozenTrial, trials: list[FrozenTrial]) -> int:
        """Workers in a row that died of this trial without completing an epoch, the latest included."""
        deaths, epoch = 1, self._epoch(trial)
        while trial.user_attrs.get(BECAUSE) == KILLED and trial.user_attrs[EPOCH] == epoch:
            deaths, trial = deaths + 1, trials[trial.user_attrs[RETRY_OF]]
        return deaths

    def _enqueue(self, trial: FrozenTrial, because: str) -> None:
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        attributes = {RETRY_OF: trial.number, BECAUSE: because, EPOCH: self._epoch(trial)}
        self.study.enqueue_trial(params, user_attrs=attributes)

    def _epoch(self, trial: FrozenTrial) -> int:
        tried = drawn(trial.params, self.sweep)
        return 0 if tried is None else run_state(self.runs, self.sweep.cell(*tried)).epoch

    def _tell(
        self, taken: AcquiredTrial, values: Sequence[float] | None = None, state: TrialState | None = None
    ) -> None:
        # Locked: nobody may see the trial still running and its lock already free.
        with study_lock(self.folder, _never, self.heartbeats):
            self.study.tell(taken.trial.number, values, state=state, skip_if_finished=True)
            self.leave(taken)
