"""The forest plot of a claim: in each environment our estimate and interval, the paper's number on the same axis."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from scs_study.analysis.claims.decide import Verdict
from scs_study.analysis.claims.judge import Part
from scs_study.analysis.claims.rules import ceiling, threshold
from scs_study.analysis.claims.schema import Test
from scs_study.analysis.claims.speed import Ratio
from scs_study.analysis.claims.table import unit_of
from scs_study.analysis.paper import paper_tables
from scs_study.analysis.plots.style import new_figure, our_style
from scs_study.report.charts import WIDTH, inline_svg

OURS, PAPER, SEED, HOLDS, LIMIT = "#1f4e8c", "#b3470f", "#8a8a8a", "#e7f1e4", "#4c7a3f"
WORDS = 22
"""Characters of an environment's name on a line."""


@dataclass(frozen=True)
class Line:
    """One environment: our estimate, its interval (NaN where there is none), the seeds, the paper's (least, most).

    schedule: "20 of 800 epochs", "" where none matters.
    """

    words: str
    mean: float
    low: float
    high: float
    seeds: tuple[float, ...] = ()
    paper: tuple[float, float] = (math.nan, math.nan)
    schedule: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot of one test, and what its two sides are."""

    chart: Markup
    sides: str


def forests(verdict: Verdict) -> list[Plot]:
    """Return a plot for each test of a claim that has an estimate with a size; [] for one that has none."""
    plots: list[Plot] = []
    for test, lines in lines_of(verdict):
        if lines:
            bands = "the quartiles" if verdict.ratios else ""
            name = f"claim{verdict.claim.id}-{len(plots)}"
            sentence, decided = verdict.claim.sentence, verdict.decided
            chart = forest(lines, axis_words(test), *limit_of(test), name, sentence, bands, decided)
            plots.append(Plot(chart, sides(test, verdict)))
    return plots


def forest(
    lines: Sequence[Line],
    axis: str,
    limit: float,
    side: str,
    name: str,
    label: str,
    bands: str = "",
    decided: bool = True,
) -> Markup:
    """Return a forest plot.

    limit, side: what the rule asks the interval to be "above" or "below"; NaN without one. bands: what a bar is, where
    it is no 95 % interval. decided: whether the marks are full; those that are not have their schedules named.
    """
    words = [
        "\n".join(textwrap.fill(text, WORDS) for text in (line.words, "" if decided else line.schedule) if text)
        for line in lines
    ]
    face = OURS if decided else "white"
    height = sum(max(0.3, 0.155 * (text.count("\n") + 1.4)) for text in words)
    with our_style():
        figure = new_figure(WIDTH, 1.15 + height)
        axes = figure.subplots()
        if not bands:
            axes.axvline(0, color="black", linewidth=0.7, zorder=1)
        for place, line in enumerate(lines):
            axes.plot(line.seeds, [place] * len(line.seeds), "o", color=SEED, markersize=3.5, zorder=3.5)
            if not math.isnan(line.low):
                axes.plot([line.low, line.high], [place, place], color=OURS, linewidth=2, zorder=3)
            axes.plot([line.mean], [place], "D", color=OURS, markerfacecolor=face, markersize=6, zorder=4)
            if not math.isnan(line.paper[0]):
                axes.plot(line.paper, [place + 0.25] * 2, "^-", color=PAPER, markersize=6, linewidth=1, zorder=4)
        axes.set_yticks(range(len(lines)), words, fontsize=8)
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_xlabel(textwrap.fill(axis, 44))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.margins(x=0.08)
        if not math.isnan(limit):
            low, high = axes.get_xlim()
            low, high = min(low, limit - 0.04 * (high - low)), max(high, limit + 0.04 * (high - low))
            axes.set_xlim(low, high)
            axes.axvspan(*((limit, high) if side == "above" else (low, limit)), color=HOLDS, zorder=0)
            axes.axvline(limit, color=LIMIT, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
        handles = [handle for handle, shown in _legend(lines, limit, bands, face) if shown]
        figure.legend(handles=handles, loc="outside lower left", ncols=2, fontsize=8, handlelength=1.6)
        return inline_svg(figure, name, f"Forest plot: {label}")


def lines_of(verdict: Verdict) -> Iterator[tuple[Test, list[Line]]]:
    """Return for each test of a claim its lines: the environments that have an estimate with a size."""
    if verdict.ratios:
        yield from _ratios(verdict)
        return
    for test in verdict.claim.tests:
        parts = [p for p in verdict.parts if p.test == test and p.environment.choice is None and p.finding is not None]
        if test.metric.source != "files" and test.rule not in ("dead", "identity"):
            yield test, [_line(part, test) for part in parts if not math.isnan(part.found.mean)]


def _ratios(verdict: Verdict) -> Iterator[tuple[Test, list[Line]]]:
    """The ratios of each test of a claim about speed."""
    for test in verdict.claim.tests:
        own = [ratio for ratio in verdict.ratios if {"a": ratio.a, "b": ratio.b} == dict(test.bench)]
        yield (
            test,
            [
                Line(f"{r.place}, {r.device}, {r.engine}", r.ratio, r.low, r.high, (), _paper_ratio(test, r))
                for r in own
            ],
        )


def _paper_ratio(test: Test, ratio: Ratio) -> tuple[float, float]:
    """The ratio of the paper's own seconds in this place: (least, greatest) over its tables, NaN where it has none."""
    seconds = "train_seconds" if test.metric.name == "train_time" else "eval_seconds"
    norms = {str(place.get("norm", "none")) for place in test.where if place["arch"] == ratio.architecture}
    found = []
    for rows in paper_tables().values():
        by_key = {row.key: getattr(row, seconds) for row in rows}
        for norm in norms:
            keys = [
                (ratio.architecture, c["layer"], c["activation"], c["pooling"], norm, ratio.pixels)
                for c in (test.a[0], test.b[0])
            ]
            if all(key in by_key for key in keys):
                found.append(by_key[keys[0]] / by_key[keys[1]])
    return (min(found), max(found)) if found else (math.nan, math.nan)


def sides(test: Test, verdict: Verdict) -> str:
    """Return what a and b are, where the environments do not change it."""
    if verdict.ratios:
        return f"a: {test.bench['a']}; b: {test.bench['b']}"
    places = [p.environment for p in verdict.parts if p.test == test and p.environment.choice is None and p.finding]
    words = []
    for name in ("a", "b"):
        each = dict.fromkeys(" and ".join(cell.words for cell in getattr(place, name)) for place in places)
        words += [f"{name}: {' or '.join(each)}"] if any(each) else []
    return "; ".join(words)


def axis_words(test: Test) -> str:
    """Return what the axis of a test's plot measures."""
    unit = unit_of(test)
    if test.metric.source == "bench":
        return f"{test.metric.title}, a / b"
    return f"{test.metric.title}{', a - b' if test.b else ''}{f' ({unit})' if unit else ''}"


def limit_of(test: Test) -> tuple[float, str]:
    """Return what the rule asks the interval to be above or below; NaN where it asks for both."""
    if test.metric.source == "bench":
        return 1.0, "above"
    if test.rule in ("superior", "superior_by", "noninferior", "at_least"):
        return threshold(test), "above"
    if test.rule in ("at_most", "slope"):
        return ceiling(test), "below"
    return math.nan, ""


def _line(part: Part, test: Test) -> Line:
    found = part.found
    seeds = found.values if len(found.values) > 1 and test.rule not in ("slope", "plateau") else ()
    schedule = f"{part.epochs} of {part.environment.full_epochs} epochs" if part.epochs else ""
    return Line(part.environment.words, found.mean, found.low, found.high, tuple(seeds), part.paper, schedule)


def _legend(lines: Sequence[Line], limit: float, bands: str, face: str) -> list[tuple[Line2D, bool]]:
    def mark(label: str, color: str, marker: str, **more: Any) -> Line2D:
        return Line2D([], [], color=color, marker=marker, label=label, markersize=5, **more)

    bar = bands or ("95 % interval" if any(not math.isnan(line.low) for line in lines) else "")
    return [
        (
            mark(
                f"ours, bar: {bar}" if bar else "ours",
                OURS,
                "D",
                linestyle="solid" if bar else "none",
                markerfacecolor=face,
            ),
            True,
        ),
        (mark("a seed", SEED, "o", linestyle="none"), any(line.seeds for line in lines)),
        (mark("the paper", PAPER, "^", linestyle="none"), any(not math.isnan(line.paper[0]) for line in lines)),
        (mark("the rule holds on the green side", LIMIT, "", linestyle=(0, (4, 2))), not math.isnan(limit)),
    ]
