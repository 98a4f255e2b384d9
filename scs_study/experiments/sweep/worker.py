"""One worker of a sweep: takes trials, trains them, reports their epochs, gives up what the pruner gives up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError

from scs_study.experiments.sweep.scheduler import Desk, Taken
from scs_study.runs.context import Workplace
from scs_study.runs.lock import LeaseLost
from scs_study.runs.progress import QUIET
from scs_study.runs.run_one import run_cell
from scs_study.runs.state import Outcome
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from scs_study.training.stopping import Interrupted

POLL = 2.0
PRUNED, TAKEN_OVER = "pruned", "taken over"


class Reports:
    """Tells Optuna a run's best test accuracy so far, after every `every` epochs and after the last one.

    All trials report after the same epochs, whatever they resume from: a pruner compares equal epochs. The epochs
    before a checkpoint come from the run's own records. The best so far, because it is what the paper reports
    (systems.md 7: the maximum over the epochs) and because one unlucky epoch must not end a trial.
    """

    def __init__(self, taken: Taken, folder: Path, every: int, say: Callable[[str], None]) -> None:
        self.pruned = self.taken_over = False
        self._taken, self._folder, self._every, self._say = taken, folder, every, say
        self._epochs, self._told, self._printed = taken.cell.train.epochs, 0, time.monotonic()

    def __call__(self, line: dict[str, Any]) -> None:
        """None; called with every epoch's history line, already on the disk."""
        epoch = line["epoch"]
        if line["test_accuracy"] is None:
            return
        due = self.catch_up(epoch)
        if due and epoch < self._epochs and not self.taken_over:
            self.pruned = self._taken.trial.should_prune()
        if time.monotonic() - self._printed >= QUIET and epoch < self._epochs and not self.pruned:
            self._printed = time.monotonic()
            self._say(f"epoch {epoch}/{self._epochs}, test accuracy {line['test_accuracy']:.4f}")

    def catch_up(self, epoch: int) -> bool:
        """Whether `epoch` is one to report after; reports it and those before that Optuna has not got yet."""
        best = 0.0
        for line in files.read_lines(self._folder / run_folder.HISTORY)[:epoch]:
            if line["test_accuracy"] is None:
                break
            best, number = max(best, line["test_accuracy"]), line["epoch"]
            if number > self._told and self._due(number):
                try:
                    self._taken.trial.report(best, number)
                except UpdateFinishedTrialError:  # this process was silent for too long and counts as dead
                    self.taken_over = True
                    break
                self._told = number
        return self._due(epoch)

    def _due(self, epoch: int) -> bool:
        return epoch % self._every == 0 or epoch == self._epochs


def work(desk: Desk, place: Workplace, say: Callable[[str], None]) -> Counter[str]:
    """How many trials of this worker ended in which state (done, pruned, diverged, failed), once none is left.

    Trials of other workers are waited for: a worker may die, and then its trial is this one's.
    Errors: stopping.Interrupted when `desk.stop()` turned true; the trial at hand is given back.
    """
    ended: Counter[str] = Counter()
    waiting = False
    while True:
        if desk.stop():
            raise Interrupted("stopped")
        taken = desk.take() if not waiting or desk.worth_a_turn() else None
        if taken is not None:
            waiting = False
            ended[_trial(taken, desk, place, say)] += 1
            continue
        others = desk.others()
        if not others:
            return ended
        if not waiting:
            say(f"no trial is left to take; waiting for {others} of other workers")
            waiting = True
        time.sleep(POLL)


def _trial(taken: Taken, desk: Desk, place: Workplace, say: Callable[[str], None]) -> str:
    cell, number = taken.cell, taken.trial.number
    name = f"trial {number}, p={cell.layer.p:g}, seed {cell.seed}"
    again = taken.trial.user_attrs.get("retry_of")
    say(f"{name}: starts" + ("" if again is None else f", in place of trial {again}"))
    folder = place.runs / cell.run_name
    reports = Reports(taken, folder, desk.sweep.report_every, lambda text: say(f"{name}: {text}"))
    try:
        outcome = _outcome(taken, desk, place, reports)
    except Interrupted:
        if reports.pruned:
            desk.prune(taken)
            say(f"{name}: pruned after epoch {len(files.read_lines(folder / run_folder.HISTORY))}/{cell.train.epochs}")
            return PRUNED
        if reports.taken_over:
            desk.leave(taken)
            say(f"{name}: another worker has taken it over")
            return TAKEN_OVER
        desk.give_back(taken)
        raise
    if outcome.state == "failed":
        desk.fail(taken, outcome.message)
        say(f"{name}: failed: {outcome.message} (see {folder / run_folder.ERROR})")
        return "failed"
    reports.catch_up(cell.train.epochs)  # a run that was done already has reported nothing yet
    best = files.read_json(folder / run_folder.RESULT)["best_test_accuracy"]
    if outcome.state == "diverged":
        desk.prune(taken)
        say(f"{name}: {outcome.message}")
    else:
        desk.complete(taken, best)
        say(f"{name}: {outcome.state}, best test accuracy {best:.4f}")
    return outcome.state


def _outcome(taken: Taken, desk: Desk, place: Workplace, reports: Reports) -> Outcome:
    """What became of the trial's run. A run that another process is at is waited for, and then found done."""

    def stop() -> bool:
        return desk.stop() or reports.pruned or reports.taken_over

    while True:
        try:
            outcome = run_cell(taken.cell, place, stop, reports, desk.watch)
        except LeaseLost:
            outcome = Outcome("busy")
        if outcome.state != "busy":
            return outcome
        if stop():
            raise Interrupted("stopped")
        time.sleep(POLL)
