"""The table writer: heads and rows as CSV for machines, Markdown and LaTeX for readers, plain text for a terminal.

pandas writes the CSV and tabulate the Markdown and the text. LaTeX is by hand: what pandas' Styler writes is no float
of this width, and escapes less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from scs_study.system.files import shortened, write_text

Cells = Sequence[Sequence[object]]
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
ALIGN = {"l": "left", "r": "right"}


def write_table(
    folder: Path,
    name: str,
    caption: str,
    readers: tuple[Sequence[str], Cells],
    machines: tuple[Sequence[str], Cells],
    notes: Sequence[str] = (),
    latex: str | None = None,
    gap: str = "3pt",
) -> tuple[Path, ...]:
    """Return the paths of <name>.md, <name>.csv and, where `latex` is given, <name>.tex in `folder`, and write them.

    readers, machines: heads and rows for either. latex: its columns, a letter each; gap: half of that between them.
    """
    forms = {".md": markdown_text([caption], *readers, notes), ".csv": csv_text(*machines)}
    if latex is not None:
        forms[".tex"] = latex_text(name, caption, *readers, notes, latex, gap)
    return write_forms(folder, name, forms)


def write_forms(folder: Path, name: str, forms: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the paths of a table's forms in `folder`, and write them. forms: the text by suffix (".md")."""
    paths = []
    for suffix, text in forms.items():
        path = folder / f"{shortened(name)}{suffix}"
        write_text(path, text)
        paths.append(path)
    return tuple(paths)


def csv_text(heads: Sequence[str], rows: Cells) -> str:
    """Return a table as CSV: numbers `rounded`, an empty field for None and NaN."""
    cells = [[rounded(value) if isinstance(value, float) else value for value in row] for row in rows]
    frame = pd.DataFrame(cells, columns=list(heads), dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def rounded(value: float) -> float:
    """Return the value with twelve digits: those that follow differ between processors, which add in different orders.

    So a published table is the same wherever it is made.
    """
    return float(f"{value:.12g}")


def markdown_text(
    above: Sequence[str], heads: Sequence[str], rows: Cells, notes: Sequence[str] = (), align: str | None = None
) -> str:
    """Return a table as Markdown (GitHub's dialect). above, notes: paragraphs before and after it.

    align: a letter a column, l or r; None leaves it to the reader's program.
    """
    cells = [[str(value).translate(MARKDOWN) for value in row] for row in rows]
    paragraphs = [text.translate(MARKDOWN) for text in above]
    return (
        "\n\n".join([*paragraphs, _tabulated(heads, cells, "github", align), *(n.translate(MARKDOWN) for n in notes)])
        + "\n"
    )


def terminal_text(heads: Sequence[str], rows: Cells, align: str) -> str:
    """Return the rows of a table for a terminal, without an end of line after the last. align: a letter a column."""
    return _tabulated(heads, rows, "simple", align)


def latex_text(
    name: str,
    caption: str,
    heads: Sequence[str],
    rows: Cells,
    notes: Sequence[str],
    align: str,
    gap: str = "2pt",
    stacked: bool = False,
) -> str:
    r"""Return a table as a LaTeX float that needs \usepackage{booktabs} and nothing else; every word is escaped.

    stacked: whether heads are broken into a line a word. The other arguments: as of write_table.
    """
    head = " & ".join(_stacked(each) if stacked else escaped(each) for each in heads)
    parts = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        rf"\label{{tab:{name}}}",
        r"\scriptsize",
        rf"\setlength{{\tabcolsep}}{{{gap}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
        *(" & ".join(map(escaped, row)) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\smallskip {escaped(note)}" for note in notes),
        r"\end{table}",
    ]
    return "\n".join(parts) + "\n"


def escaped(value: object) -> str:
    """Return a value as LaTeX: ASCII, so that it compiles whatever a run's message or device says."""
    text = str(value).replace("−", "-").replace("–", "-")
    parts = [part.encode("ascii", "replace").decode().translate(LATEX) for part in text.split("±")]
    return r"$\pm$".join(parts)


def head_lines(head: str) -> list[str]:
    """Return the words of a head, a unit with the word before it."""
    return head.replace(" %", "\0%").replace(" ", "\n").replace("\0", " ").splitlines()


def _stacked(head: str) -> str:
    lines = r"\\".join(map(escaped, head_lines(head)))
    return rf"\shortstack{{{lines}}}" if " " in head else lines


def _tabulated(heads: Sequence[str], rows: Cells, form: str, align: str | None) -> str:
    sides = [ALIGN[letter] for letter in align] if align is not None and rows else None
    text: str = tabulate(rows, headers=heads, tablefmt=form, disable_numparse=True, colalign=sides)
    return "\n".join(line.rstrip() for line in text.splitlines())
