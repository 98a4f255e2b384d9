"""The exponent of every kernel of the first SCS layer over the epochs (paper Figure 7): a panel a variant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from scs_study.analysis.p_values.motion import Exponents, first_layer, motion
from scs_study.analysis.plots.style import (
    FigureGroup,
    broken,
    color,
    figure_groups,
    new_figure,
    our_style,
    save,
    suptitle,
)
from scs_study.analysis.variants import Record


def draw_p_values(frame: pd.DataFrame, runs: Path, folder: Path) -> tuple[Path, ...]:
    """Return the paths of the figures of the runs in `frame`: one per architecture, norm, data and image size."""
    paths: list[Path] = []
    for figure_group in figure_groups(frame, "p_values"):
        named = zip(figure_group.variants, figure_group.labels, strict=True)
        chosen = [(words, group[0], p) for group, words in named if (p := _first(group, runs)) is not None]
        if chosen:
            paths += _figure(figure_group, chosen, folder)
    return tuple(paths)


def _first(group: Sequence[Record], runs: Path) -> Exponents | None:
    """Return the exponents of the first seed of a variant that has some."""
    return next((p for row in group if (p := first_layer(runs / row["run"])) is not None), None)


def _figure(
    figure_group: FigureGroup, chosen: Sequence[tuple[str, Record, Exponents]], folder: Path
) -> tuple[Path, ...]:
    across = min(len(chosen), 3)
    down = -(-len(chosen) // across)
    with our_style():
        figure = new_figure(0.8 + 3.2 * across, 0.9 + 2.7 * down)
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for axes, (words, row, p) in zip(grid.flat, chosen, strict=False):
            epochs = np.arange(1, len(p) + 1)
            axes.plot(epochs, p, color=color(row["layer"], row["pooling"]), linewidth=0.6, alpha=0.6)
            axes.plot(epochs, np.median(p, axis=1), color="black", linewidth=1.6)
            found = motion(p)
            share = f"{100 * found.monotone:.0f} % of {found.kernels} kernels monotone"
            axes.set_title(f"{broken(words)}\n{share}", fontsize=8, loc="left")
        for axes in grid.flat[len(chosen) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("p of a kernel")
        for axes in grid[-1]:
            axes.set_xlabel("epoch")
        suptitle(figure, f"p of every kernel of the first layer, median in black: {figure_group.title()}")
        return save(figure, folder, figure_group.name)
