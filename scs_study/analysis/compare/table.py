"""The comparisons of two sides as one table: CSV for machines, Markdown for readers, text for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from scs_study.analysis.compare.differences import METRIC_WORDS, Difference, Measured
from scs_study.analysis.compare.sides import Matched
from scs_study.analysis.statistics.summary import FEWEST
from scs_study.analysis.table_writer import csv_text, markdown_text, rounded, terminal_text, write_forms
from scs_study.analysis.variants import short

NAME = "compare"
WIDTH = 120
MOST_NAMED = 10
"""Variants without a counterpart that the note names."""


def caption(a: str, b: str, found: Matched, metric: str) -> str:
    """Return what the table compares, and how."""
    settings = ", ".join(dict.fromkeys(short(name) for name in found.compared))
    by = f" They differ in {settings}." if settings else ""
    common = f" All: {found.common}." if found.common else ""
    return (
        f"A = {a}, B = {b}: {METRIC_WORDS[metric]}, in %.{by}{common} Of each side mean ± SD (n) of the live seeds; "
        f"A - B in points, dead seeds in it at chance, paired by seed where the initial weights are the same, "
        f"with a 95 % t interval and the t test's p (after Holm over all rows) from {FEWEST} seeds on."
    )


def rows_of(each: Sequence[Difference]) -> tuple[list[str], list[list[str]], str]:
    """Return heads, rows and alignment for readers; a column that says nothing in any row is left out."""
    heads = ["where", "A", "B", "A %", "B %", "dead A", "dead B", "A - B", "95 % interval", "p", "Holm", "sign flips",
             "pairs", "note"]  # fmt: skip
    rows = [
        [
            d.pair.place,
            d.pair.a_words,
            d.pair.b_words,
            mean_words(d.a),
            mean_words(d.b),
            dead_words(d.a),
            dead_words(d.b),
            _signed(d.mean),
            "" if math.isnan(d.low) else f"{d.low:+.2f} to {d.high:+.2f}",
            _p(d.p),
            _p(d.p_holm),
            _p(d.flip_p) if len(d.seeds) >= FEWEST else "",
            str(len(d.seeds)),
            "; ".join(filter(None, [d.note, _left(d)])),
        ]
        for d in each
    ]
    keep = [k for k in range(len(heads)) if heads[k] in ("A - B", "pairs") or any(row[k] for row in rows)]
    if not any(d.a.dead or d.b.dead for d in each):
        keep = [k for k in keep if not heads[k].startswith("dead")]
    align = "".join("l" if heads[k] in ("where", "A", "B", "note") else "r" for k in keep)
    return [heads[k] for k in keep], [[row[k] for k in keep] for row in rows], align


def compare_text(a: str, b: str, found: Matched, each: Sequence[Difference], metric: str) -> str:
    """Return the table for a terminal."""
    heads, rows, align = rows_of(each)
    notes = _notes(found)
    parts = [textwrap.fill(caption(a, b, found, metric), WIDTH), terminal_text(heads, rows, align)]
    return "\n\n".join([*parts, *(textwrap.fill(note, WIDTH) for note in notes)]) + "\n"


def write_compare(
    a: str, b: str, found: Matched, each: Sequence[Difference], metric: str, folder: Path
) -> tuple[Path, ...]:
    """Return the paths of compare.md and compare.csv in `folder`, and write them."""
    heads, rows, align = rows_of(each)
    notes = _notes(found)
    page = markdown_text([caption(a, b, found, metric)], heads, rows, notes, align)
    return write_forms(folder, NAME, {".md": page, ".csv": csv_text(*_machine(each))})


def mean_words(side: Measured) -> str:
    """Return "76.10 ± 0.42 (3)" of the live seeds; "" where there is none."""
    if not side.live.n:
        return ""
    spread = "" if side.live.n == 1 else f" ± {side.live.deviation:.2f}"
    return f"{side.live.mean:.2f}{spread} ({side.live.n})"


def dead_words(side: Measured) -> str:
    """Return "1 of 3", "" without a finished run."""
    return f"{side.dead} of {len(side.values)}" if side.values else ""


def _machine(each: Sequence[Difference]) -> tuple[list[str], list[list[object]]]:
    heads = ["where", "a", "b", "a_mean", "a_deviation", "a_live", "a_dead", "a_finished", "b_mean", "b_deviation",
             "b_live", "b_dead", "b_finished", "difference", "low", "high", "p", "p_holm", "sign_flip_p", "pairs",
             "seeds", "differences", "a_runs", "b_runs", "note"]  # fmt: skip
    rows: list[list[object]] = []
    for d in each:
        sides = [
            value
            for s in (d.a, d.b)
            for value in (_none(s.live.mean), _none(s.live.deviation), s.live.n, s.dead, len(s.values))
        ]
        numbers = [_none(x) for x in (d.mean, d.low, d.high, d.p, d.p_holm, d.flip_p)]
        words = [
            " ".join(map(str, d.seeds)),
            " ".join(repr(rounded(value)) for value in d.by_seed),
            " ".join(d.a.runs),
            " ".join(d.b.runs),
        ]
        rows.append([d.pair.place, d.pair.a_words, d.pair.b_words, *sides, *numbers, len(d.seeds), *words, d.note])
    return heads, rows


def _left(d: Difference) -> str:
    left = d.a.left + d.b.left
    return f"{left} run{'' if left == 1 else 's'} unfinished" if left else ""


def _none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.2f}"


def _p(p: float) -> str:
    return "" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.2g}"


def _notes(found: Matched) -> list[str]:
    if not found.alone:
        return []
    more = len(found.alone) - MOST_NAMED
    named = [*found.alone[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])]
    return [f"Without a counterpart: {'; '.join(named)}."]
