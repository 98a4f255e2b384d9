"""A sweep's table: one row a trial, as CSV for machines and Markdown for readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from scs_study.analysis.sweep.rows import Row
from scs_study.analysis.table_writer import csv_text, markdown_text
from scs_study.experiments.sweep.settings import Sweep

ORDER = ("done", "pruned", "diverged", "failed", "running", "interrupted", "waiting")


def to_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV: accuracy is a fraction at full precision, empty before the first epoch."""
    heads = ("p", "seed", "state", "accuracy", "epochs", "epochs_planned", "trial", "attempts", "run")
    values = [(r.p, r.seed, r.state, r.accuracy, r.epochs, r.planned, r.number, r.attempts, r.run) for r in rows]
    return csv_text(heads, values)


def to_markdown(rows: Sequence[Row], caption: str, notes: Sequence[str]) -> str:
    """Return the rows as Markdown, with the caption above and the notes below; accuracy in %."""
    heads = ("p", "accuracy %", "epochs", "state", "seed", "trial", "run")
    cells = [
        (
            f"{row.p:g}",
            "" if row.accuracy is None else f"{100 * row.accuracy:.2f}",
            f"{row.epochs}/{row.planned}",
            row.state,
            str(row.seed),
            str(row.number),
            row.run,
        )
        for row in rows
    ]
    messages = [f"p = {row.p:g}, seed {row.seed}: {row.state}: {row.message}" for row in rows if row.message]
    return markdown_text([caption], heads, cells, [*messages, *notes], "rrrlrrl")


def caption(rows: Sequence[Row], sweep: Sweep) -> str:
    """Return what the rows are: title, data, recipe, how p was chosen and pruned, how many are in which state."""
    cell = sweep.cell(sweep.low, sweep.seeds[0])
    chosen = "TPE" if sweep.sampler == "tpe" else f"a grid of {sweep.points}"
    pruner = {"median": "median pruning", "hyperband": "Hyperband", "none": "no pruning"}[sweep.pruner]
    epochs = f"{cell.train.epochs} epoch{'' if cell.train.epochs == 1 else 's'} a trial"
    return (
        f"{sweep.title}: {cell.arch}, {cell.data.name} at {cell.data.size_words} pixels, {epochs}; p from "
        f"{sweep.low:g} to {sweep.high:g} by {chosen}, {pruner}; {counts(rows, sweep.total)}. "
        "Accuracy is the highest test accuracy so far."
    )


def counts(rows: Sequence[Row], total: int) -> str:
    """Return how many of the sweep's trials are in which state."""
    states = Counter(row.state for row in rows)
    words = [f"{states[state]} {state}" for state in ORDER if states[state]]
    words += [f"{number} {state}" for state, number in states.items() if state not in ORDER]
    return f"{total} trials: " + (", ".join(words) if words else "none begun")
