"""A sweep's trials as rows: what the storage knows (p, seed, pruned) and what the run folders know (all else)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from scs_study.experiments.sweep.sampler import RETRY_OF
from scs_study.experiments.sweep.scheduler import MESSAGE
from scs_study.experiments.sweep.settings import Sweep
from scs_study.runs.state import run_state
from scs_study.system import files
from scs_study.training import run_dir as run_folder

FINISHED = ("done", "pruned", "diverged")
"""States of a row whose accuracy says something about its p."""


@dataclass(frozen=True)
class Row:
    """One trial; a trial that took another one's place is the same row.

    state: done, pruned, diverged, failed, running, interrupted or waiting. curve: the best test accuracy (a fraction)
    so far after epochs 1, 2, ... of `planned`. number: the trial's number in the study; attempts: how many trials of
    the study this row took. message: one sentence where something went wrong.
    """

    p: float
    seed: int
    state: str
    curve: tuple[float, ...]
    planned: int
    number: int
    attempts: int
    run: str
    message: str

    @property
    def accuracy(self) -> float | None:
        """The best test accuracy so far (the paper's "Val. Acc.", a maximum over the epochs), None before any epoch."""
        return self.curve[-1] if self.curve else None

    @property
    def epochs(self) -> int:
        """Epochs completed."""
        return len(self.curve)


def rows_of(trials: Iterable[FrozenTrial], sweep: Sweep, runs: Path) -> list[Row]:
    """Return the rows of a study, by p and seed. A trial that no worker has begun yet has no p and no row."""
    trials = list(trials)
    replaced = {trial.user_attrs[RETRY_OF]: trial for trial in trials if RETRY_OF in trial.user_attrs}
    rows: list[Row] = []
    for first in trials:
        if RETRY_OF in first.user_attrs:
            continue
        last, attempts = first, 1
        while last.number in replaced:
            last, attempts = replaced[last.number], attempts + 1
        params = {**last.system_attrs.get("fixed_params", {}), **last.params}
        if {"p", "seed"} <= params.keys():
            rows.append(_row(last, params["p"], params["seed"], attempts, sweep, runs))
    return sorted(rows, key=lambda row: (row.p, row.seed, row.number))


def _row(trial: FrozenTrial, p: float, seed: int, attempts: int, sweep: Sweep, runs: Path) -> Row:
    cell = sweep.cell(p, seed)
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
        p=cell.layer.p if cell.layer.p is not None else p,
        seed=seed,
        state=word,
        curve=_curve(runs / cell.run_name),
        planned=cell.train.epochs,
        number=trial.number,
        attempts=attempts,
        run=cell.run_name,
        message=trial.user_attrs.get(MESSAGE, "") or state.message if word in ("failed", "diverged") else "",
    )


def _curve(folder: Path) -> tuple[float, ...]:
    best: list[float] = []
    for line in files.read_lines(folder / run_folder.HISTORY):
        if line["test_accuracy"] is None:
            break
        best.append(max(line["test_accuracy"], best[-1] if best else 0.0))
    return tuple(best)
