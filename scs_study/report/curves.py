"""Test error against epoch for a page: means whole, below them seeds enlarged, each with its name at the pointer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from scs_study.analysis.collect import history
from scs_study.analysis.plots.curves import Curve, Seed, mean_curve, smoothing, zoom_window
from scs_study.analysis.plots.style import BAND, FigureGroup, broken, figure_groups, new_figure, our_style
from scs_study.analysis.variants import Record
from scs_study.report.charts import WIDTH, draw_legend, inline_svg, legend_room

POINTS = 160
"""Epochs of a line that are drawn, evenly spread, so that a page of many long runs stays small."""


def curve_charts(frame: pd.DataFrame, folders: Mapping[str, Path], name: str) -> Iterator[tuple[str, Markup]]:
    """Return (title, chart) for every network, norm, data and image size of which a run has an epoch.

    folders: where each run lies. A run whose history is damaged has no line; its state says so.
    """
    for number, group in enumerate(figure_groups(frame, name)):
        seeds = [[(row["run"], seed) for row in members if (seed := _seed(row, folders))] for members in group.variants]
        if any(seeds):
            title = group.title()
            yield title, _chart(group, seeds, f"{name}-{number}", f"Test error by epoch: {title}")


def _seed(row: Record, folders: Mapping[str, Path]) -> Seed | None:
    try:
        epochs = history(folders[row["run"]])
    except ValueError:
        return None
    if not len(epochs):
        return None
    return Seed(row["state"], 100 * (1 - epochs["test_accuracy"].to_numpy(dtype=np.float64)))


def _chart(group: FigureGroup, seeds: list[list[tuple[str, Seed]]], name: str, label: str) -> Markup:
    titles: dict[str, str] = {}
    every = [seed for members in seeds for _, seed in members]
    finals = [seed.latest for seed in every if seed.latest is not None]
    longest = max(len(seed.curve) for seed in every)
    width = smoothing(longest)
    with our_style():
        room, columns = legend_room(group.labels)
        figure = new_figure(WIDTH, 4.4 + room)
        whole, zoomed = figure.subplots(2, 1)
        handles = []
        for number, (members, style, words) in enumerate(zip(seeds, group.styles, group.labels, strict=True)):
            if not members:
                continue
            mean = pd.Series(mean_curve([seed for _, seed in members]))
            mean = mean.rolling(width, center=True, min_periods=1).mean()
            for axes in (whole, zoomed):
                x, y = thinned(np.asarray(mean, dtype=np.float64))
                marker = "s" if len(x) == 1 and style["marker"] == "none" else style["marker"]
                (handle,) = axes.plot(
                    x, y, **{**style, "marker": marker}, markevery=max(1, len(x) // 8), linewidth=1.5, zorder=3
                )
                handle.set_gid(f"mean-{axes is whole:d}-{number}")
                titles[f"mean-{axes is whole:d}-{number}"] = f"{words}: {', '.join(run for run, _ in members)}"
            handle.set_label(broken(words))
            handles.append(handle)
            for run, seed in members if len(members) > 1 or width > 1 else []:
                (line,) = zoomed.plot(*thinned(seed.curve), color=style["color"], linewidth=0.7, alpha=0.45)
                line.set_gid(f"run-{run}")
                titles[f"run-{run}"] = run
        _format(whole, 1, longest)
        whole.set_ylim(0, None)
        first = 1
        if finals:
            low, high = zoom_window(finals)
            known = np.concatenate([seed.curve for seed in every])
            low, high = max(low, float(np.nanmin(known)) - 1), min(high, float(np.nanmax(known)) + 1)
            zoomed.set_ylim(low, high)
            first = min((int(np.argmax(s.curve <= high)) + 1 for s in every if (s.curve <= high).any()), default=1)
            whole.axhspan(low, high, color=BAND, zorder=0)
        _format(zoomed, first, longest)
        zoomed.set_xlabel("epoch")
        draw_legend(figure, handles, columns)
        return inline_svg(figure, name, label, titles)


def thinned(curve: Curve) -> tuple[list[int], list[float]]:
    """Return epochs and errors of at most about POINTS epochs of a curve; the first and the last are among them."""
    step = max(1, -(-len(curve) // POINTS))
    chosen = sorted({*range(0, len(curve), step), len(curve) - 1})
    return [index + 1 for index in chosen], [round(float(curve[index]), 3) for index in chosen]


def _format(axes: Axes, first: int, last: int) -> None:
    axes.set_ylabel("test error (%)")
    first = min(first, max(1, last - 1))
    room = max(0.02 * (last - first), 0.25)
    axes.set_xlim(first - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
