"""What a user reads while runs train: per group of runs, the test error so far (show_results.py, systems.md 4)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scs_study.analysis.collect import FINAL, history, identity_columns
from scs_study.analysis.statistics import Summary, summarise
from scs_study.analysis.table_writer import terminal_text
from scs_study.analysis.variants import Record, label, unplaced, variants, varying
from scs_study.config.schema import ADVERSARIAL


@dataclass(frozen=True)
class Group:
    """The finished runs of one variant. error: of the last epoch, in %; best: the lowest of any epoch and run, in %."""

    name: str
    error: Summary
    best: float | None


@dataclass(frozen=True)
class Unfinished:
    """One run that is no result yet. error: its latest test error in %, None before the first epoch."""

    run: str
    state: str
    epoch: int
    epochs: int | None
    error: float | None


@dataclass(frozen=True)
class Report:
    """A study so far: groups that have a result, in the tables' order, and the runs that have none yet."""

    groups: tuple[Group, ...]
    unfinished: tuple[Unfinished, ...]


def summary(frame: pd.DataFrame, runs: Path) -> Report:
    """Return the Report on the runs of a collected frame; `runs` is where their folders are (read for unfinished runs
    only).

    Unlike show_results.py: sample standard deviation (ddof 1), and runs that still train are listed, with their epoch.
    """
    groups = variants(frame)
    extra = varying(groups, identity_columns(frame))
    several = {name: len({group[0][name] for group in groups}) > 1 for name in ("norm", "image_size", "data", "epochs")}
    results, unfinished = [], []
    for group in groups:
        errors = [_error(row["final_test_accuracy"]) for row in group if row["state"] in FINAL]
        known = [error for error in errors if error is not None]
        best = [_error(row["best_test_accuracy"]) for row in group if row["state"] in FINAL]
        if errors and group[0].get("objective") != ADVERSARIAL:
            lowest = min((error for error in best if error is not None), default=None)
            results.append(Group(_name(group[0], extra, several), summarise(known), lowest))
        unfinished += [_unfinished(row, runs) for row in group if row["state"] not in FINAL]
    unfinished += [_unfinished(row, runs) for row in unplaced(frame)]
    return Report(tuple(results), tuple(unfinished))


def summary_text(report: Report) -> str:
    """Return a Report for a terminal; 4 significant digits, as show_results.py prints them."""
    parts = []
    if report.groups:
        rows = [
            (g.name, g.error.n, *(_digits(v) for v in (g.error.mean, g.error.deviation, g.error.error, g.best)))
            for g in report.groups
        ]
        heads = ["test error (%) after the last epoch", "n", "mean", "std. dev.", "std. error", "best of any epoch"]
        parts.append(terminal_text(heads, rows, "lrrrrr"))
    else:
        parts.append("No run has finished yet.")
    if report.unfinished:
        lines = [
            (u.run, u.state, f"{u.epoch}/{'?' if u.epochs is None else u.epochs}", _digits(u.error))
            for u in report.unfinished
        ]
        heads = ["not finished", "state", "epoch", "test error so far (%)"]
        parts.append(terminal_text(heads, lines, "llrr"))
    return "\n\n".join(parts) + "\n"


def _name(row: Record, extra: tuple[str, ...], several: dict[str, bool]) -> str:
    words = [row["architecture"], label(row, extra)]
    if several["norm"] and row["norm"] != "none":
        words.append(row["norm"])
    if several["data"]:
        words.append(row["data"])
    if several["image_size"]:
        words.append(f"{row['image_size']}px")
    if several["epochs"]:
        words.append(f"{row['epochs']}ep")
    return " ".join(words)


def _unfinished(row: Record, runs: Path) -> Unfinished:
    error = None
    try:
        epochs = history(runs / row["run"])
        if len(epochs):
            error = _error(epochs["test_accuracy"].iloc[-1])
    except ValueError:
        pass  # its state is what there is to say; `collect` names the damaged file
    return Unfinished(row["run"], row["state"], row["epochs_done"] or 0, row["epochs"], error)


def _error(accuracy: float | None) -> float | None:
    return None if accuracy is None or accuracy != accuracy else 100 * (1 - float(accuracy))


def _digits(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.4g}"
