"""All claims in one figure: our differences and the paper's own, environment by environment, and ratios of time."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, ScalarFormatter
from matplotlib.transforms import blended_transform_factory

from scs_study.analysis.claims.decide import Verdict
from scs_study.analysis.claims.schema import Test
from scs_study.analysis.claims.table import unit_of
from scs_study.analysis.plots.style import new_figure, our_style, save
from scs_study.report.forest import HOLDS, OURS, PAPER, SEED, Line, limit_of, lines_of, sides

WIDTH, ROW = 9.0, 0.235
"""Inches: of the figure, and of a line in it."""
LINEAR = 5.0
"""Points of accuracy up to which the axis is linear; beyond, it is logarithmic."""
LEFT = 0.006
"""Where a claim's words begin, in widths of the figure."""
HEAD = 128
"""Characters of a claim's sentence on a line."""
POINTS = "points"
TICKS, RATIOS = (-50, -20, -10, -5, -2, 0, 2, 5, 10, 20, 50), (0.125, 0.25, 0.5, 1, 2, 3, 5, 10)
ROOM = 0.025
"""Beside the outermost marks, in widths of a panel: half a mark and a little more."""


@dataclass(frozen=True)
class Row:
    """A claim's test as it is drawn. head: the claim, "" below the first of its tests; sides: what a and b are.

    decided: whether the marks are full.
    """

    head: str
    sides: str
    test: Test
    lines: tuple[Line, ...]
    decided: bool

    @property
    def timed(self) -> bool:
        """Whether it is of the benchmark: then its pairs share a line."""
        return self.test.metric.source == "bench"


def overview(verdicts: Sequence[Verdict], folder: Path, name: str) -> tuple[Path, ...]:
    """Return the path of a figure of all claims measured in points or as ratios of time; () where there is none."""
    rows = [row for verdict in verdicts for row in _rows(verdict)]
    shown = [panel for timed in (False, True) if (panel := [row for row in rows if row.timed is timed])]
    if not shown:
        return ()
    heights = [sum(_head(row) + _body(row) for row in panel) for panel in shown]
    with our_style():
        figure = new_figure(WIDTH, ROW * sum(heights) + 0.75 * len(shown) + 0.45)
        grid = figure.subplots(len(shown), 1, height_ratios=heights, squeeze=False)
        for axes, panel in zip(grid[:, 0], shown, strict=True):
            draw_panel(axes, panel)
        figure.legend(handles=_legend(rows), loc="outside lower left", ncols=4, fontsize=8, handlelength=1.8)
        png, pdf = save(figure, folder, name, colours=True)
    pdf.unlink()  # for the README, which shows no PDF
    return (png,)


def _rows(verdict: Verdict) -> list[Row]:
    found: list[Row] = []
    for test, lines in lines_of(verdict):
        if lines and (verdict.ratios or unit_of(test) == POINTS):
            head = textwrap.fill(f"{verdict.claim.id}. {verdict.claim.sentence} ({verdict.word})", HEAD)
            found.append(Row("" if found else head, sides(test, verdict), test, tuple(lines), verdict.decided))
    return found


def _head(row: Row) -> float:
    """How many lines a test's words take, above its environments."""
    return (0.7 * (row.head.count("\n") + 1) + 0.2 if row.head else 0) + (0 if row.timed else 0.65)


def _body(row: Row) -> float:
    return 1.3 if row.timed else len(row.lines)


def draw_panel(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw tests that share an axis, each below the words of its claim."""
    timed = rows[0].timed
    assert axes.figure is not None
    across = blended_transform_factory(axes.figure.transFigure, axes.transData)
    words: dict[str, Any] = {"transform": across, "fontsize": 8, "zorder": 5, "in_layout": False}
    edge: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(),
        "color": "black",
        "linewidth": 0.8,
        "clip_on": False,
    }
    place, names = 0.0, []
    for row in rows:
        if row.head and place:
            axes.axhline(place, color="#bbbbbb", linewidth=0.6, zorder=2.2)
        below = place + _head(row)
        axes.text(LEFT, place + 0.15, row.head, va="top", weight="bold", **words)
        if not timed:
            axes.text(LEFT, below - 0.05, row.sides, va="bottom", color="#555555", **words)
        place = below
        for group in [row.lines] if timed else [(line,) for line in row.lines]:
            half = 0.65 if timed else 0.5
            name = f"{row.test.bench['a']} / {row.test.bench['b']} ({len(group)})" if timed else _name(group[0])
            names.append((place + half, name))
            for line in group:
                _line(axes, line, place + half, row.decided)
            place += 2 * half
        # Behind a claim's words there is nothing, lest lines cross them.
        axes.axhspan(below - _head(row), below, color="white", linewidth=0, zorder=2)
        axes.plot([0, 0], [below, place], **edge)
        limit, side = limit_of(row.test)
        if not math.isnan(limit):
            span = (limit, 1e3) if side == "above" else (-1e3, limit)
            axes.fill_betweenx([below, place], *span, color=HOLDS, zorder=0, linewidth=0)
    axes.set_ylim(place, 0)
    axes.set_yticks([y for y, _ in names], [words for _, words in names], fontsize=7.5)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.axvline(1 if timed else 0, color="black", linewidth=0.8, zorder=1.6)
    if timed:
        axes.set_xscale("log")
        axes.set_xlabel("time of a, in times that of b (bars: quartiles)")
    else:
        axes.set_xscale("symlog", linthresh=LINEAR, linscale=1.6)
        axes.set_xlabel(f"a - b, test accuracy in points (linear within {LINEAR:g}, then logarithmic)")
    _limit(axes, rows)
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in (RATIOS if timed else TICKS) if low <= tick <= high])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())


def _limit(axes: Axes, rows: Sequence[Row]) -> None:
    """Let the axis show every mark whole, and what the rules ask for."""
    numbers = [1.0 if rows[0].timed else 0.0]
    for row in rows:
        numbers += [limit_of(row.test)[0]]
        for line in row.lines:
            numbers += [line.mean, line.low, line.high, *line.seeds, *line.paper]
    scale = axes.xaxis.get_transform()
    shown = scale.transform([number for number in numbers if not math.isnan(number)])
    room = ROOM * (shown.max() - shown.min())
    low, high = scale.inverted().transform([shown.min() - room, shown.max() + room])
    axes.set_xlim(float(low), float(high))


def _name(line: Line) -> str:
    return ", ".join(text for text in (line.words, line.schedule) if text)


def _line(axes: Axes, line: Line, place: float, decided: bool) -> None:
    face = OURS if decided else "white"
    axes.plot(line.seeds, [place] * len(line.seeds), "o", color=SEED, markersize=3, zorder=3.5)
    if not math.isnan(line.low):
        axes.plot([line.low, line.high], [place, place], color=OURS, linewidth=1.5, alpha=0.7, zorder=3)
    axes.plot([line.mean], [place], "D", color=OURS, markerfacecolor=face, markersize=5, zorder=4)
    if not math.isnan(line.paper[0]):
        axes.plot(line.paper, [place + 0.2] * 2, "^-", color=PAPER, markersize=5, linewidth=1, zorder=4.5)


def _legend(rows: Sequence[Row]) -> list[Line2D]:
    handles = []
    for decided, words in ((True, "ours, decided"), (False, "ours, preliminary")):
        if any(row.decided is decided for row in rows):
            face = OURS if decided else "white"
            handles.append(Line2D([], [], color=OURS, marker="D", markerfacecolor=face, linestyle="none", label=words))
    handles.append(Line2D([], [], color=PAPER, marker="^", linestyle="none", label="the paper"))
    handles.append(Line2D([], [], color=HOLDS, linewidth=8, label="where the claim's rule holds"))
    return handles
