"""A sweep's trials as rows: what the storage knows (point, seed, pruned) and what the run folders know (all else)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from scs_study.experiments.sweep.points import Point
from scs_study.experiments.sweep.sampler import RETRY_OF, drawn
from scs_study.experiments.sweep.scheduler import MESSAGE
from scs_study.experiments.sweep.settings import PARAMETERS, Sweep
from scs_study.experiments.sweep.source import RESULTS
from scs_study.runs.state import run_state
from scs_study.system import files
from scs_study.training import run_dir as run_folder

FINISHED = ("done", "pruned", "diverged")
"""States of a row whose accuracy says something about its point."""
REFUSED = "refused"
"""The state of a row whose settings refuse each other."""


@dataclass(frozen=True)
class Row:
    """One trial; a trial that took another one's place is the same row.

    state: done, pruned, diverged, failed, running, interrupted, waiting or refused. curve: the best accuracy (a
    fraction) so far after epochs 1, 2, ... of `planned`. number: the trial's number in the study; attempts: how many
    trials of the study this row took. message: one sentence where something went wrong. parameters: of the network,
    None before the run has a result.
    """

    point: Point
    seed: int
    state: str
    curve: tuple[float, ...]
    planned: int
    number: int
    attempts: int
    run: str
    message: str
    parameters: int | None = None

    @property
    def accuracy(self) -> float | None:
        """The best accuracy so far (the paper's "Val. Acc.", a maximum over the epochs), None before any epoch."""
        return self.curve[-1] if self.curve else None

    @property
    def epochs(self) -> int:
        """Epochs completed."""
        return len(self.curve)


def rows_of(trials: Iterable[FrozenTrial], sweep: Sweep, runs: Path) -> list[Row]:
    """Return the rows of a study, by point and seed. A trial that no worker has begun yet has no point and no row."""
    trials = list(trials)
    replaced = {trial.user_attrs[RETRY_OF]: trial for trial in trials if RETRY_OF in trial.user_attrs}
    rows: list[Row] = []
    for first in trials:
        if RETRY_OF in first.user_attrs:
            continue
        last, attempts = first, 1
        while last.number in replaced:
            last, attempts = replaced[last.number], attempts + 1
        tried = drawn({**last.system_attrs.get("fixed_params", {}), **last.params}, sweep)
        if tried is not None:
            rows.append(_row(last, *tried, attempts, sweep, runs))
    return sorted(rows, key=lambda row: (*(each.rank(row.point) for each in sweep.dimensions), row.seed, row.number))


def by_point(rows: Iterable[Row], sweep: Sweep) -> list[list[Row]]:
    """Return the rows that are done, those of a point (of several seeds) together."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.state == "done" and row.accuracy is not None:
            groups.setdefault(sweep.describe(row.point), []).append(row)
    return list(groups.values())


def _row(trial: FrozenTrial, point: Point, seed: int, attempts: int, sweep: Sweep, runs: Path) -> Row:
    message = trial.user_attrs.get(MESSAGE, "")
    try:
        cell = sweep.cell(point, seed)
    except ValueError as error:
        return Row(point, seed, REFUSED, (), 0, trial.number, attempts, "", message or str(error))
    state = run_state(runs, cell)
    # The run has the last word: a pruned trial's run may have been finished since, for another study.
    if state.final:
        word = "done" if state.state == "untrained" else state.state  # all epochs are there, and the accuracy says it
    elif trial.state == TrialState.PRUNED:
        word = "pruned"
    elif trial.state == TrialState.FAIL:
        word = "failed"
    elif state.state == "missing":
        word = "waiting"
    else:
        word = state.state
    return Row(
        point=point,
        seed=seed,
        state=word,
        curve=_curve(runs / cell.run_name),
        planned=cell.train.epochs,
        number=trial.number,
        attempts=attempts,
        run=cell.run_name,
        message=message or state.message if word in ("failed", "diverged") else "",
        parameters=_parameters(runs / cell.run_name) if PARAMETERS in sweep.objectives else None,
    )


def _parameters(folder: Path) -> int | None:
    path = folder / run_folder.RESULT
    count: int | None = files.read_json(path)[RESULTS[PARAMETERS]] if path.exists() else None
    return count


def _curve(folder: Path) -> tuple[float, ...]:
    best: list[float] = []
    for line in files.read_lines(folder / run_folder.HISTORY):
        if line["test_accuracy"] is None:
            break
        best.append(max(line["test_accuracy"], best[-1] if best else 0.0))
    return tuple(best)
