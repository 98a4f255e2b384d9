"""The tables of a page: of the runs as they are now, and those that the analyses have written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scs_study.analysis.forms import to_cells
from scs_study.analysis.pairs import apart, pairs_of
from scs_study.analysis.tables import table
from scs_study.report.public import public

TITLES = {
    "saliency": "Saliency maps",
    "robustness": "Robustness",
    "fidelity": "Fidelity of samples",
    "weight_norms": "Weight norms",
    "p_values": "Exponents p",
    "attention": "Attention",
}
"""What the name of an analysis' table begins with, and its title; another one is called by its name."""
_BAR, _ESCAPED = re.compile(r"(?<!\\)\|"), re.compile(r"\\([\\`*|<])")
_NUMBER = re.compile(r"[+\-−<]?\d")


@dataclass(frozen=True)
class Sheet:
    """A table on the page. title: "" for the study's own. right: for each column whether it is of numbers."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...]
    above: tuple[str, ...]
    notes: tuple[str, ...]


def own_sheets(
    frame: pd.DataFrame, paper: str | None, folders: Mapping[str, Path], names: Iterable[str]
) -> list[Sheet]:
    """Return the tables of a frame's runs: of those with an accuracy, and of the adversarial ones.

    paper: the paper's table beside it. folders: where each run lies. names: what must not be said of the machine.
    """
    classifiers, pairs = apart(frame)
    hidden, found = set(names), []
    if len(classifiers) or not len(pairs):
        built = table(classifiers, paper)
        above, heads, rows, align = to_cells(built)
        right = tuple(letter == "r" for letter in align)
        found.append(_sheet("", heads, rows, right, above, built.footnotes, hidden))
    if len(pairs):
        each = pairs_of(pairs, folders)
        found.append(_sheet("", each.heads, each.rows, _right(each.rows), [each.caption], each.notes, hidden))
    return found


def written_sheets(folder: Path | None, own: str, names: Iterable[str]) -> list[Sheet]:
    """Return the tables that analyses have written to folder/tables. own: the name of the study's own one."""
    if folder is None:
        return []
    hidden, found = set(names), []
    for path in sorted((folder / "tables").glob("*.md")):
        if path.stem not in (own, f"{own}-pairs"):
            above, heads, rows, notes = read_markdown(path.read_text(encoding="utf-8"))
            if heads:
                found.append(_sheet(_title(path.stem), heads, rows, _right(rows), above, notes, hidden))
    return found


def read_markdown(text: str) -> tuple[list[str], list[str], list[list[str]], list[str]]:
    """Return what table_writer.markdown_text wrote: paragraphs above, heads, rows, paragraphs below."""
    lines = text.splitlines()
    marked = [number for number, line in enumerate(lines) if line.startswith("|")]
    if len(marked) < 2:
        return [], [], [], []
    heads, _, *rows = [[_plain(cell) for cell in _BAR.split(lines[k])[1:-1]] for k in marked]
    above, below = (
        [_plain(line) for line in part if line.strip()] for part in (lines[: marked[0]], lines[marked[-1] + 1 :])
    )
    return above, heads, rows, below


def _sheet(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: tuple[bool, ...],
    above: Sequence[str],
    notes: Sequence[str],
    names: set[str],
) -> Sheet:
    shown = tuple(tuple(public(value, names).replace(" ± ", "\u00a0±\u00a0") for value in row) for row in rows)
    texts = (tuple(public(text, names) for text in part) for part in (above, notes))
    return Sheet(title, tuple(heads), shown, right, *texts)


def _right(rows: Sequence[Sequence[str]]) -> tuple[bool, ...]:
    return tuple(all(_NUMBER.match(cell) for cell in column if cell) for column in zip(*rows, strict=True))


def _title(stem: str) -> str:
    kind = next((kind for kind in TITLES if stem == kind or stem.startswith(f"{kind}-")), None)
    if kind is None:
        return stem
    rest = stem.removeprefix(kind).strip("-")
    return f"{TITLES[kind]}: {rest}" if rest else TITLES[kind]


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text.strip())
