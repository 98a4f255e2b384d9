"""The four forms of a study's table: its columns, and which of them a form has room for."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from scs_study.analysis.paper import BASELINE
from scs_study.analysis.table_writer import (
    csv_text,
    head_lines,
    latex_text,
    markdown_text,
    terminal_text,
    write_forms,
)
from scs_study.analysis.tables import Table, TableRow
from scs_study.analysis.variants import short, show

TERMINAL = 120
"""Characters of a terminal's line that the text form stays within."""


@dataclass(frozen=True)
class Column:
    """A column that readers see: its head, what it says of a row, and what it may be left out for (needed: never)."""

    head: str
    value: Callable[[TableRow], str]
    right: bool = False
    needed: bool = True


def write_study_table(table: Table, folder: Path, name: str | None = None) -> tuple[Path, ...]:
    """Return the paths of the three forms of `table`, <name>.csv, .md and .tex in `folder`, and write them.

    The text form is for a terminal: it is shown, and says no more than the Markdown.
    """
    forms = {".csv": to_csv, ".md": to_markdown, ".tex": to_latex}
    return write_forms(folder, name or table.name, {suffix: form(table) for suffix, form in forms.items()})


def to_csv(table: Table) -> str:
    """Return the table as CSV: one column one quantity, an empty field for no number.

    Accuracies are fractions, difference_points percentage points, seconds per epoch.
    """
    quantities = _quantities(table)
    return csv_text(list(quantities), [[_field(value(row)) for value in quantities.values()] for row in table.rows])


def to_markdown(table: Table) -> str:
    """Return the table as Markdown (GitHub's dialect), caption above and footnotes below."""
    above, heads, rows, align = to_cells(table)
    return markdown_text(above, heads, rows, table.footnotes, align)


def to_cells(table: Table) -> tuple[list[str], list[str], list[list[str]], str]:
    """Return what readers see of the table: paragraphs above it, heads, rows, and the columns' alignment."""
    columns, same = _varying_columns(table)
    return [table.caption, *_all_rows(same)], *_cells(columns, table.rows), _align(columns)


def to_latex(table: Table) -> str:
    r"""Return the table as LaTeX: a float that needs \usepackage{booktabs} and nothing else.

    As in the text form, what is the same in all rows stands below; seconds are left to the CSV for want of width,
    ratios are here.
    """
    columns, same = _varying_columns(table)
    columns = [column for column in columns if " s " not in column.head]
    notes = [*_all_rows(same), *table.footnotes]
    heads, rows = _cells(columns, table.rows)
    return latex_text(table.name, table.caption, heads, rows, notes, _align(columns), stacked=True)


def to_text(table: Table) -> str:
    """Return the table for a terminal, within TERMINAL characters: what is the same in all rows moves to a line above.

    Where that does not suffice, the seconds go first, then ratios and intervals; the last line says what was left out.
    """
    columns, same = _varying_columns(table)
    dropped: list[str] = []
    body = _terminal(columns, table.rows)
    while max(map(len, body.splitlines())) > TERMINAL and (spare := [c for c in columns if not c.needed]):
        columns.remove(spare[-1])
        dropped.insert(0, spare[-1].head)
        body = _terminal(columns, table.rows)
    parts = [_wrapped(table.caption), *map(_wrapped, _all_rows(same)), body, *map(_wrapped, table.footnotes)]
    if dropped:
        parts.append(_wrapped(f"Left out for want of width: {', '.join(dropped)}."))
    return "\n\n".join(parts) + "\n"


def _terminal(columns: Sequence[Column], rows: Sequence[TableRow]) -> str:
    heads, cells = _cells(columns, rows)
    return terminal_text(["\n".join(head_lines(head)) for head in heads], cells, _align(columns))


def _cells(columns: Sequence[Column], rows: Sequence[TableRow]) -> tuple[list[str], list[list[str]]]:
    """Return the heads and the rows of columns."""
    return [column.head for column in columns], [[column.value(row) for column in columns] for row in rows]


def _align(columns: Sequence[Column]) -> str:
    return "".join("r" if column.right else "l" for column in columns)


def _all_rows(words: str) -> list[str]:
    return [f"All rows: {words}."] if words else []


def _columns(table: Table) -> list[Column]:
    columns = [
        Column("architecture", lambda row: row.architecture),
        Column("layer", lambda row: row.layer),
        Column("activation", lambda row: row.activation),
        Column("pooling", lambda row: row.pooling),
        Column("norm", lambda row: row.norm),
        Column("pixels", lambda row: str(row.image_size), right=True),
        *(_extra(number, name) for number, name in enumerate(table.extra)),
        Column("data", lambda row: row.data),
        Column("epochs", lambda row: "" if row.epochs is None else str(row.epochs), right=True),
    ]
    if any(row.paper for row in table.rows):
        columns.append(Column("paper %", lambda row: _percent(row.paper.accuracy) if row.paper else "", right=True))
    columns.append(Column("ours %", _ours, right=True))
    columns.append(Column("n", _count, right=True))
    if table.several:
        columns.append(Column("dead", _dead, right=True, needed=False))
    columns.append(Column("95 % interval", _interval, right=True, needed=not table.several))
    if any(row.several and row.several.versus for row in table.rows):
        columns.append(Column(f"to {' '.join(BASELINE)}", _versus, right=True))
    if any(row.paper for row in table.rows):
        columns.append(Column("diff.", lambda row: _number(row.difference, "+.2f"), right=True))
    both = any(row.paper for row in table.rows)
    for word, kind in (("ratio", ".2f"), ("seconds", ".3g")):
        for phase in ("train", "eval"):
            name = f"{phase}_{word}"
            unit = " s" if word == "seconds" else " ratio"
            if both:
                columns.append(Column(f"{phase}{unit} paper", _time("paper_times", name, kind), True, needed=False))
            columns.append(Column(f"{phase}{unit} ours", _time("times", name, kind), True, needed=False))
    return columns


def _varying_columns(table: Table) -> tuple[list[Column], str]:
    """Return the columns in which rows differ, and the words of those in which they do not.

    A row of the paper that nobody ran has no data and epochs, which is no difference.
    """
    columns, words = [], []
    for column in _columns(table):
        values = {column.value(row) for row in table.rows if row.planned or column.head not in ("data", "epochs")}
        if len(table.rows) > 1 and len(values) <= 1:
            words += [f"{column.head} {value}" for value in values if value]
        else:
            columns.append(column)
    return columns, ", ".join(words)


def _extra(number: int, name: str) -> Column:
    return Column(short(name), lambda row: show(row.extra[number]), right=True)


def _time(times: str, name: str, kind: str) -> Callable[[TableRow], str]:
    return lambda row: _number(getattr(getattr(row, times), name), kind)


def _quantities(table: Table) -> dict[str, Callable[[TableRow], object]]:
    extra = {name: (lambda row, number=number: row.extra[number]) for number, name in enumerate(table.extra)}
    plain = {
        name: attrgetter(name) for name in ("architecture", "layer", "activation", "pooling", "norm", "image_size")
    }
    times = {
        f"{prefix}{name}": attrgetter(f"{source}.{name}")
        for prefix, source in (("paper_", "paper_times"), ("", "times"))
        for name in ("train_seconds", "eval_seconds", "train_ratio", "eval_ratio")
    }
    return {
        **plain,
        **extra,
        "data": lambda row: row.data,
        "epochs": lambda row: row.epochs,
        "paper_accuracy": lambda row: row.paper.accuracy if row.paper else None,
        "accuracy": lambda row: row.accuracy.mean,
        "accuracy_low": lambda row: row.accuracy.low,
        "accuracy_high": lambda row: row.accuracy.high,
        "accuracy_deviation": lambda row: row.accuracy.deviation,
        "difference_points": lambda row: row.difference,
        **(_SEVERAL if table.several else {}),
        "final_accuracy": lambda row: row.final.mean,
        "seeds_finished": lambda row: len(row.seeds),
        "seeds_planned": lambda row: row.planned,
        "state": lambda row: row.state,
        **times,
        "parameters": lambda row: row.parameters,
        "device": lambda row: row.device,
        "recipe_differences": lambda row: "; ".join(row.differences),
    }


_SEVERAL: dict[str, Callable[[TableRow], object]] = {
    "dead_seeds": lambda row: row.several.dead if row.several else None,
    "to_baseline_points": lambda row: row.several.versus.mean if row.several and row.several.versus else None,
    "to_baseline_low": lambda row: row.several.versus.low if row.several and row.several.versus else None,
    "to_baseline_high": lambda row: row.several.versus.high if row.several and row.several.versus else None,
    "to_baseline_pairs": lambda row: row.several.versus.n if row.several and row.several.versus else None,
}
"""What the CSV has beside, where a row has several seeds."""


def _field(value: object) -> object:
    return value if value is None or isinstance(value, float) else show(value)


def _count(row: TableRow) -> str:
    return str(len(row.seeds)) if len(row.seeds) == row.planned else f"{len(row.seeds)}/{row.planned}"


def _interval(row: TableRow) -> str:
    low, high = row.accuracy.low, row.accuracy.high
    return "" if math.isnan(low) else f"{_percent(low)} to {_percent(high)}"


def _ours(row: TableRow) -> str:
    spread = row.several is not None and row.accuracy.n > 1 and not row.shown
    return (
        (row.shown or _percent(row.accuracy.mean))
        + (f" ± {_percent(row.accuracy.deviation)}" if spread else "")
        + row.mark
    )


def _dead(row: TableRow) -> str:
    return f"{row.several.dead} of {row.several.finished}" if row.several and row.several.finished else ""


def _versus(row: TableRow) -> str:
    """The difference and its interval; how many pairs it has, where these are not all of the row's seeds."""
    found = row.several.versus if row.several else None
    if found is None:
        return ""
    words = f"{found.mean:+.2f}" + ("" if math.isnan(found.low) else f" ({found.low:+.2f} to {found.high:+.2f})")
    return words if row.several and found.n == row.several.finished else f"{words}, n={found.n}"


def _percent(fraction: float) -> str:
    return _number(100 * fraction, ".2f")


def _number(value: float, kind: str) -> str:
    return "" if math.isnan(value) else format(value, kind)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, TERMINAL)
