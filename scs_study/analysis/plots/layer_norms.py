"""Weight and gradient norms per layer and epoch, for all variants of an architecture (paper Appendix B.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from scs_study.analysis.collect import WHOLE, layer_history
from scs_study.analysis.plots.style import (
    FigureGroup,
    broken,
    figure_groups,
    logarithmic,
    new_figure,
    our_style,
    save,
    suptitle,
)
from scs_study.analysis.variants import Record

ACROSS = 7
"""Layers side by side; deeper networks continue below."""

QUANTITIES = {"weight_norm": "weight norm (L2)", "gradient_norm": "gradient norm (L2)"}
MOST_POINTS = 120
"""Epochs that a line shows: of a longer run every second, third, ... one, counted from the last."""

WIDE = 20.0
"""A ratio of largest to smallest value from which an axis is logarithmic."""


def norms(frame: pd.DataFrame, runs: Path, folder: Path, name: str = "norms") -> tuple[Path, ...]:
    """Return the paths of the layer norms of all runs in `frame`: a PNG and a PDF per architecture, norm, data and
    image size.

    One column a layer, one row each for weight and gradient norm, the mean over seeds per epoch. All panels of a row
    share their scale. Runs without layers.jsonl have no line; architectures without any have no figure.
    """
    paths: list[Path] = []
    for figure_group in figure_groups(frame, name):
        means = [mean_norms(group, runs) for group in figure_group.variants]
        if any(len(mean) for mean in means):
            paths += _figure(figure_group, means, folder)
    return tuple(paths)


def mean_norms(group: Sequence[Record], runs: Path) -> pd.DataFrame:
    """Return one row per layer and epoch: path, epoch and the mean over a variant's seeds of weight_norm and
    gradient_norm.

    Over the runs that went to their end; where there is none, over all runs, for the epochs that all of them have.
    Layers are in the network's order.
    """
    ended = [row for row in group if row["state"] in WHOLE]
    frames = []
    for row in ended or group:
        try:
            frame = layer_history(runs / row["run"])
        except ValueError:  # collect and the curves say that it is damaged
            continue
        if len(frame):
            frames.append(frame[["path", "epoch", *QUANTITIES]])
    if not frames:
        return pd.DataFrame(columns=["path", "epoch", *QUANTITIES])
    common = min(frame["epoch"].max() for frame in frames)
    together = pd.concat(frames)
    means: pd.DataFrame = together[together["epoch"] <= common].groupby(["path", "epoch"], sort=False).mean()
    return means.reset_index()


def _figure(figure_group: FigureGroup, means: Sequence[pd.DataFrame], folder: Path) -> tuple[Path, ...]:
    paths = list(dict.fromkeys(path for mean in means for path in mean["path"]))
    across = min(ACROSS, len(paths))
    bands = -(-len(paths) // across)
    with our_style():
        figure = new_figure(2.0 + 2.1 * across + 1.5, 1.2 + 3.4 * bands)
        grid = figure.subplots(2 * bands, across, squeeze=False)
        handles: dict[int, Any] = {}
        for number, path in enumerate(paths):
            band, column = divmod(number, across)
            for offset, quantity in enumerate(QUANTITIES):
                axes = grid[2 * band + offset, column]
                for index, (mean, style) in enumerate(zip(means, figure_group.styles, strict=True)):
                    layer = mean[mean["path"] == path]
                    if len(layer):
                        handles[index] = _draw(axes, layer, quantity, style)
            grid[2 * band, column].set_title(path, fontsize=8)
        _format_axes(grid, len(paths), across)
        for column in range(len(paths) % across or across, across):
            for axes in grid[-2:, column]:
                axes.set_visible(False)
        suptitle(figure, f"Layer norms: {figure_group.title()}", beside=3.6)
        legend = [handles[index] for index in sorted(handles)]
        labels = [broken(figure_group.labels[index]) for index in sorted(handles)]
        title = "layer, activation, pooling\n(mean over seeds)"
        figure.legend(
            legend, labels, loc="outside right upper", fontsize=8, title=title, title_fontsize=8, handlelength=3
        )
        return save(figure, folder, figure_group.name)


def _draw(axes: Axes, layer: pd.DataFrame, quantity: str, style: dict[str, Any]) -> Any:
    # A panel is some 200 pixels wide; the last epoch is always drawn.
    layer = layer.iloc[:: -max(1, -(-len(layer) // MOST_POINTS))].iloc[::-1]
    every = max(1, len(layer) // 4)
    alone = "s" if len(layer) == 1 and style["marker"] == "none" else style["marker"]
    line = {**style, "marker": alone, "markersize": 3}
    return axes.plot(layer["epoch"], layer[quantity], **line, markevery=every, linewidth=1.1)[0]


def _format_axes(grid: Any, layers: int, across: int) -> None:
    for offset, words in enumerate(QUANTITIES.values()):
        row = [grid[2 * (number // across) + offset, number % across] for number in range(layers)]
        values = np.concatenate([line.get_ydata() for axes in row for line in axes.get_lines()])
        values = values[np.isfinite(values)]
        positive = values[values > 0]
        wide = len(positive) > 0 and positive.max() / positive.min() >= WIDE
        for number, axes in enumerate(row):
            if wide:  # a line that falls to 0 (a dead layer's gradient) leaves through the floor
                logarithmic(axes)
                axes.set_ylim(positive.min() / 1.15, positive.max() * 1.15)
            elif len(values):
                axes.set_ylim(0, values.max() * 1.05 or 1)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
            axes.tick_params(which="both", labelsize=7, labelleft=number % across == 0)
            if number % across == 0:
                axes.set_ylabel(words, fontsize=8)
            if offset == 1:
                axes.set_xlabel("epoch", fontsize=8)
            else:
                axes.tick_params(labelbottom=False)
