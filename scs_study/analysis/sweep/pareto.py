"""The figure of a sweep for two objectives: accuracy over parameters, and the front that no point is above."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from scs_study.analysis.plots.style import our_style, save
from scs_study.analysis.sweep.figures import accuracy_label, headed
from scs_study.analysis.sweep.findings import Found
from scs_study.experiments.sweep.settings import Sweep

WIDE = 4.0
"""The largest over the smallest number of parameters, from where on the axis is logarithmic."""
NAMED = 8
"""Points of the front whose settings are written beside them; the table below a sweep has all."""


def pareto_figure(
    points: Sequence[Found], front: Sequence[Found], sweep: Sweep, head: str, folder: Path
) -> tuple[Path, ...]:
    """Return the paths of the figure: every point that is done, the front as steps, its points by their settings."""
    with our_style():
        return save(draw_front(points, front, sweep, head), folder, "pareto", colours=True)


def draw_front(points: Sequence[Found], front: Sequence[Found], sweep: Sweep, head: str) -> Figure:
    """Return the figure of `pareto_figure`, not yet written."""
    figure = headed(head, "")
    axes = figure.subplots()
    counts = [each.parameters for each in points if each.parameters is not None]
    others = [each for each in points if each not in front and each.parameters is not None]
    if max(counts) > WIDE * min(counts):
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.scatter(
        *_places(others), s=26, facecolors="none", edgecolors="#888888", label=f"other points ({len(others)})", zorder=2
    )
    x, y = _places(front)
    axes.step(x, y, where="post", color="#C04000", linewidth=1, zorder=1)
    axes.scatter(x, y, s=40, color="#C04000", label=f"front ({len(front)})", zorder=3)
    for number, each in enumerate(front[-NAMED:]):
        last = each is front[-1] and len(front) > 1
        axes.annotate(
            textwrap.fill(each.words, 34),
            (float(each.parameters or 0), 100 * each.accuracy),
            xytext=(-7, 4) if last else (6, -4 if number % 2 else -14),
            textcoords="offset points",
            ha="right" if last else "left",
            fontsize=6.5,
            va="bottom" if last else "top",
            color="#7A2A00",
        )
    axes.margins(x=0.12, y=0.12)
    axes.set_xlabel("trainable parameters")
    axes.set_ylabel(accuracy_label(sweep))
    axes.legend(loc="lower right", fontsize=8)
    return figure


def _places(found: Sequence[Found]) -> tuple[list[float], list[float]]:
    return [float(each.parameters or 0) for each in found], [100 * each.accuracy for each in found]
