"""A sweep's table: one row a trial, as CSV for machines and Markdown for readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from scs_study.analysis.sweep.rows import Row
from scs_study.analysis.table_writer import csv_text, markdown_text
from scs_study.config.widths import KEY, split_widths
from scs_study.experiments.sweep.dimension import Dimension
from scs_study.experiments.sweep.settings import PARAMETERS, Sweep

ORDER = ("done", "pruned", "diverged", "failed", "running", "interrupted", "waiting")


def to_csv(rows: Sequence[Row], sweep: Sweep, front: Collection[str] = ()) -> str:
    """Return the rows as CSV: accuracy is a fraction, empty before the first epoch.

    front: the words of the points that are on the front, of a sweep for two objectives.
    """
    two = PARAMETERS in sweep.objectives
    heads = [each.name for each in sweep.dimensions] + ["seed", "state", "accuracy"] + ["parameters", "front"] * two
    heads += ["epochs", "epochs_planned", "trial", "attempts", "run"]
    values = []
    for row in rows:
        known = [_plain(each, row) for each in sweep.dimensions] + [row.seed, row.state, row.accuracy]
        known += [row.parameters, _mark(row, sweep, front)] * two
        values.append([*known, row.epochs, row.planned, row.number, row.attempts, row.run])
    return csv_text(heads, values)


def to_markdown(
    rows: Sequence[Row], sweep: Sweep, caption: str, notes: Sequence[str], front: Collection[str] = ()
) -> str:
    """Return the rows as Markdown, with the caption above and the notes below; accuracy in %. front: as in `to_csv`."""
    two = PARAMETERS in sweep.objectives
    heads = [each.name for each in sweep.dimensions] + ["accuracy %"] + ["parameters", "front"] * two
    heads += ["epochs", "state", "seed", "trial", "run"]
    sides = "".join("l" if each.values else "r" for each in sweep.dimensions) + "r" + "rl" * two + "rlrrl"
    cells = []
    for row in rows:
        known = [each.of(row.point) for each in sweep.dimensions]
        known.append("" if row.accuracy is None else f"{100 * row.accuracy:.2f}")
        known += [_count(row.parameters), _mark(row, sweep, front)] * two
        cells.append([*known, f"{row.epochs}/{row.planned}", row.state, str(row.seed), str(row.number), row.run])
    messages = [f"{_words(row, sweep)}, seed {row.seed}: {row.state}: {row.message}" for row in rows if row.message]
    return markdown_text([caption], heads, cells, [*messages, *notes], sides)


def caption(rows: Sequence[Row], sweep: Sweep) -> str:
    """Return what the rows are: title, data, recipe, what varied and how, how it was pruned, how many are in which
    state.
    """
    cell = sweep.first
    varied = [key for key in sweep.varies if key.startswith(f"{KEY}.") or key == KEY]
    pixels = "" if "data.image_size" in sweep.varies else f" at {cell.data.size_words} pixels"
    same = {
        "arch": split_widths(cell.arch)[0] if varied else cell.arch,
        "data": f"{cell.data.name}{pixels}",
        "train.epochs": f"{cell.train.epochs} epoch{'' if cell.train.epochs == 1 else 's'} a trial",
    }
    what = ", ".join(words for key, words in same.items() if key not in sweep.varies)
    grid = f"a grid of {len(sweep.grid) // len(sweep.seeds)}" if sweep.sampler == "grid" else ""
    pruner = {"median": "median pruning", "hyperband": "Hyperband", "none": "no pruning"}[sweep.pruner]
    images = "highest test accuracy so far"
    if sweep.judged_by != "test":
        images = f"highest so far on {sweep.judged_by} images; no test image was looked at"
    return (
        f"{sweep.title}: {what}; {_and([span(each) for each in sweep.dimensions])} by {grid or 'TPE'}, {pruner}; "
        f"{counts(rows, sweep.total)}. Accuracy is the {images}."
    )


def span(dimension: Dimension) -> str:
    """Return what a dimension goes over, in words."""
    if dimension.values:
        words = f"{dimension.name} of {', '.join(dimension.describe(value) for value in dimension.values)}"
    else:
        words = f"{dimension.name} from {dimension.describe(dimension.low)} to {dimension.describe(dimension.high)}"
    return words if dimension.when is None else f"{words} (where {dimension.when[0]} is {dimension.when[1]})"


def counts(rows: Sequence[Row], total: int) -> str:
    """Return how many of the sweep's trials are in which state."""
    states = Counter(row.state for row in rows)
    words = [f"{states[state]} {state}" for state in ORDER if states[state]]
    words += [f"{number} {state}" for state, number in states.items() if state not in ORDER]
    return f"{total} trials: " + (", ".join(words) if words else "none begun")


def _words(row: Row, sweep: Sweep) -> str:
    return ", ".join(f"{each.name} = {each.of(row.point)}" for each in sweep.dimensions if each.name in row.point)


def _plain(each: Dimension, row: Row) -> object:
    value = row.point.get(each.name)
    return each.describe(value) if isinstance(value, list) else value


def _mark(row: Row, sweep: Sweep, front: Collection[str]) -> str:
    return "yes" if row.state == "done" and sweep.describe(row.point) in front else ""


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{'; '.join(words[:-1])} and {words[-1]}"
