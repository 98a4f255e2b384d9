"""The forms of a table: CSV for machines, Markdown and LaTeX for readers, plain text for a terminal."""

from __future__ import annotations

import csv
import io
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from tabulate import tabulate

from scs_study.analysis.tables import Table, TableRow
from scs_study.analysis.variants import short, show
from scs_study.system.files import shortened, write_text

TERMINAL = 120
"""Characters of a terminal's line that the text form stays within."""

MARKDOWN = str.maketrans({mark: f"\\{mark}" for mark in "\\`*|<"})

LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "*": r"{*}",  # a bare * after \\ would be read as \\*
        "[": r"{[}",  # likewise \\[
    }
)


@dataclass(frozen=True)
class Column:
    """A column that readers see: its head, what it says of a row, and what it may be left out for (needed: never)."""

    head: str
    value: Callable[[TableRow], str]
    right: bool = False
    needed: bool = True


def write_table(table: Table, folder: Path, name: str | None = None) -> tuple[Path, ...]:
    """The paths of the four forms of `table`, written to `folder` as <name>.csv, .md, .tex and .txt."""
    forms = {".csv": to_csv, ".md": to_markdown, ".tex": to_latex, ".txt": to_text}
    paths = []
    for suffix, form in forms.items():
        path = folder / f"{shortened(name or table.name)}{suffix}"
        write_text(path, form(table))
        paths.append(path)
    return tuple(paths)


def to_csv(table: Table) -> str:
    """The table as CSV: one column one quantity, numbers at full precision, an empty field where there is no number.

    Accuracies are fractions, difference_points percentage points, seconds per epoch.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    quantities = _quantities(table)
    writer.writerow(quantities)
    writer.writerows([_field(value(row)) for value in quantities.values()] for row in table.rows)
    return file.getvalue()


def to_markdown(table: Table) -> str:
    """The table as Markdown (GitHub's dialect), caption above and footnotes below."""
    columns, above = _telling(table)
    rows = [[column.value(row).translate(MARKDOWN) for column in columns] for row in table.rows]
    parts = [table.caption, *_all_rows(above)]
    notes = [note.translate(MARKDOWN) for note in table.footnotes]
    heads = [column.head for column in columns]
    return (
        "\n\n".join([*(p.translate(MARKDOWN) for p in parts), _tabulated(heads, columns, rows, "github"), *notes])
        + "\n"
    )


def to_latex(table: Table) -> str:
    r"""The table as LaTeX: a float that needs \usepackage{booktabs} and nothing else.

    Every word is escaped, so it compiles whatever a run's message or device says. As in the text form, what is the
    same in all rows stands below; seconds are left to the CSV for want of width, ratios are here.
    """
    columns, above = _telling(table)
    columns = [column for column in columns if column.needed or "ratio" in column.head]
    head = " & ".join(_latex_head(column.head) for column in columns)
    notes = [*_all_rows(above), *table.footnotes]
    body = [" & ".join(column.value(row).translate(LATEX) for column in columns) for row in table.rows]
    return latex_float(
        table.name,
        _ascii(table.caption).translate(LATEX),
        "".join("r" if column.right else "l" for column in columns),
        [head, *map(_ascii, body)],
        [_ascii(note).translate(LATEX) for note in notes],
    )


def latex_float(
    name: str, caption: str, align: str, lines: Sequence[str], notes: Sequence[str] = (), gap: str = "2pt"
) -> str:
    r"""A float that needs \usepackage{booktabs} and nothing else, of text that is LaTeX already.

    align: a letter a column. lines: the heads, then the rows, cells joined by &. gap: half of that between two columns.
    """
    head, *body = lines
    parts = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{name}}}",
        r"\scriptsize",
        rf"\setlength{{\tabcolsep}}{{{gap}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
        *(rf"{line} \\" for line in body),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\smallskip {note}" for note in notes),
        r"\end{table}",
    ]
    return "\n".join(parts) + "\n"


def to_text(table: Table) -> str:
    """The table for a terminal, within TERMINAL characters: what is the same in all rows moves to a line above.

    Where that does not suffice, the seconds go first; the last line says what was left out.
    """
    columns, above = _telling(table)
    dropped: list[str] = []
    body = _terminal(columns, table.rows)
    while max(map(len, body.splitlines())) > TERMINAL and (spare := [c for c in columns if not c.needed]):
        columns.remove(spare[-1])
        dropped.insert(0, spare[-1].head)
        body = _terminal(columns, table.rows)
    parts = [_wrapped(table.caption), *map(_wrapped, _all_rows(above)), body, *map(_wrapped, table.footnotes)]
    if dropped:
        parts.append(_wrapped(f"Left out for want of width: {', '.join(dropped)}."))
    return "\n\n".join(parts) + "\n"


def _terminal(columns: Sequence[Column], rows: Sequence[TableRow]) -> str:
    heads = ["\n".join(_lines(column.head)) for column in columns]
    return _tabulated(heads, columns, [[column.value(row) for column in columns] for row in rows], "simple")


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
    columns.append(Column("ours %", lambda row: (row.shown or _percent(row.accuracy.mean)) + row.mark, right=True))
    columns.append(Column("n", _count, right=True))
    columns.append(Column("95 % interval", _interval, right=True))
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


def _telling(table: Table) -> tuple[list[Column], str]:
    """The columns in which rows differ, and the words of those in which they do not.

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


def _latex_head(head: str) -> str:
    lines = r"\\".join(line.translate(LATEX) for line in _lines(head))
    return rf"\shortstack{{{lines}}}" if " " in head else lines


def _lines(head: str) -> list[str]:
    return re.split(r" (?!%)", head)


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
        "final_accuracy": lambda row: row.final.mean,
        "seeds_finished": lambda row: len(row.seeds),
        "seeds_planned": lambda row: row.planned,
        "state": lambda row: row.state,
        **times,
        "parameters": lambda row: row.parameters,
        "device": lambda row: row.device,
        "recipe_differences": lambda row: "; ".join(row.differences),
    }


def _field(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else show(value)


def _count(row: TableRow) -> str:
    return str(len(row.seeds)) if len(row.seeds) == row.planned else f"{len(row.seeds)}/{row.planned}"


def _interval(row: TableRow) -> str:
    return f"{_percent(row.accuracy.low)} to {_percent(row.accuracy.high)}" if row.accuracy.n > 1 else ""


def _percent(fraction: float) -> str:
    return _number(100 * fraction, ".2f")


def _number(value: float, kind: str) -> str:
    return "" if math.isnan(value) else format(value, kind)


def _tabulated(heads: Sequence[str], columns: Sequence[Column], rows: Sequence[Sequence[str]], form: str) -> str:
    align = ["right" if column.right else "left" for column in columns] if rows else None
    text: str = tabulate(rows, headers=heads, tablefmt=form, disable_numparse=True, colalign=align)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _wrapped(text: str) -> str:
    return textwrap.fill(text, TERMINAL)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
