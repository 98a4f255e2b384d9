"""The figure of two sides: A - B in each place, every seed a dot, their mean a diamond and its interval a bar."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from scs_study.analysis.compare.differences import Difference
from scs_study.analysis.plots.style import new_figure, our_style, save, suptitle

WORDS = 46
DOT, MEAN = "#8a8a8a", "#1f4e8c"


def compare_figure(each: Sequence[Difference], title: str, folder: Path, name: str = "compare") -> tuple[Path, ...]:
    """Return the paths of the figure, PNG and PDF, and write it. A comparison without a finished pair has no mark."""
    words = [_label(d, each) for d in each]
    lines = sum(text.count("\n") + 1 for text in words)
    with our_style():
        figure = new_figure(8.0, 1.3 + 0.2 * max(lines, 2 * len(each)))
        axes = figure.subplots()
        axes.axvline(0, color="black", linewidth=0.8)
        for place, d in enumerate(each):
            axes.plot(d.by_seed, [place] * len(d.by_seed), "o", color=DOT, markersize=4, alpha=0.7)
            if not math.isnan(d.low):
                axes.plot([d.low, d.high], [place, place], color=MEAN, linewidth=1.6)
            if not math.isnan(d.mean):
                axes.plot([d.mean], [place], "D", color=MEAN, markersize=6, fillstyle="full" if d.seeds else "none")
        axes.set_yticks(range(len(each)), words, fontsize=8)
        axes.set_ylim(len(each) - 0.5, -0.5)
        axes.set_xlabel("A - B, points of test accuracy (dots: seeds; bar: 95 % interval; hollow: unpaired)")
        suptitle(figure, title)
        return save(figure, folder, name)


def _label(d: Difference, each: Sequence[Difference]) -> str:
    words = f"{d.pair.a_words} - {d.pair.b_words}"
    if any(other.pair.place for other in each):
        words = f"{d.pair.place}: {words}"
    return textwrap.fill(words, WORDS)
