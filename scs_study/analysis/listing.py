"""A table without the paper's columns: Markdown and LaTeX for readers, CSV for machines."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from scs_study.analysis.writers import LATEX, MARKDOWN, latex_float
from scs_study.system.files import shortened, write_text


def write_listing(
    folder: Path,
    name: str,
    caption: str,
    readers: tuple[Sequence[str], Sequence[Sequence[object]]],
    machines: tuple[Sequence[str], Sequence[Sequence[object]]],
    notes: Sequence[str] = (),
) -> tuple[Path, ...]:
    """The paths of <name>.md and <name>.csv in `folder`. readers, machines: heads and rows of each form.

    Numbers of the CSV are written at full precision, None as an empty field.
    """
    heads, rows = readers
    cells = [[str(value).translate(MARKDOWN) for value in row] for row in rows]
    table = tabulate(cells, heads, "github", disable_numparse=True)
    text = "\n\n".join([caption.translate(MARKDOWN), table, *(note.translate(MARKDOWN) for note in notes)]) + "\n"
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(machines[0])
    writer.writerows([repr(value) if isinstance(value, float) else value for value in row] for row in machines[1])
    paths = folder / f"{shortened(name)}.md", folder / f"{shortened(name)}.csv"
    for path, content in zip(paths, (text, file.getvalue()), strict=True):
        write_text(path, content)
    return paths


def write_latex(
    folder: Path,
    name: str,
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    notes: Sequence[str] = (),
) -> Path:
    r"""The path of <name>.tex in `folder`: a float that needs \usepackage{booktabs}; every word is escaped.

    The first column is aligned left, the others right.
    """

    def escaped(value: object) -> str:
        return str(value).replace("−", "-").encode("ascii", "replace").decode().translate(LATEX)

    lines = [" & ".join(map(escaped, row)) for row in (heads, *rows)]
    align = "l" + "r" * (len(heads) - 1)
    text = latex_float(name, escaped(caption), align, lines, [escaped(note) for note in notes], gap="3pt")
    path = folder / f"{shortened(name)}.tex"
    write_text(path, text)
    return path
