"""Weight norms after every mini-batch (paper Figure 2): a panel a variant, a line a layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

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
from scs_study.analysis.weight_norms.growth import Norms, step_norms
from scs_study.config.schema import CHECKPOINT

MOST_POINTS = 1500
"""Mini-batches that a line shows: of a longer run every second, third, ... one, counted from the last."""
COLOURS = "viridis"


def draw_weight_norms(frame: pd.DataFrame, runs: Path, folder: Path) -> tuple[Path, ...]:
    """Return the paths of the figures of the runs in `frame`: one per architecture, norm, data and image size.

    A panel for each variant that has other layers than plain convolutions (the first seed of it that has begun); all
    panels share their scale. The paper's two runs, where they are there, get a figure of their own.
    """
    paths: list[Path] = []
    for figure_group in figure_groups(frame, "weight_norms"):
        chosen = [
            (group[0], words, norms)
            for group, words in zip(figure_group.variants, figure_group.labels, strict=True)
            if group[0]["layer"] != "conv" and (norms := _first(group, runs)) is not None
        ]
        if chosen:
            paths += _figure(figure_group, chosen, folder, figure_group.name)
        papers = sorted(
            (each for each in chosen if _in_figure_2(each[0])), key=lambda each: each[0]["init"] != "uniform"
        )
        if len({each[0]["init"] for each in papers}) > 1:
            paths += _figure(figure_group, papers, folder, figure_group.name.replace("weight_norms", "figure2"))
    return tuple(paths)


def _in_figure_2(row: Record) -> bool:
    """Return whether a run is one of the paper's two: from U(-1, 1) or from trained weights, with its layer's clamp."""
    start = row["init"] in ("uniform", "pretrained") or CHECKPOINT.fullmatch(row["init"]) is not None
    return start and row["layer.w_max"] == 1.0 and row["layer.weight_scale"] == 1.0


def _first(group: Sequence[Record], runs: Path) -> Norms | None:
    found = (step_norms(runs / row["run"]) for row in group)
    return next((norms for norms in found if norms is not None), None)


def _figure(
    figure_group: FigureGroup, chosen: Sequence[tuple[Record, str, Norms]], folder: Path, name: str
) -> tuple[Path, ...]:
    across = min(len(chosen), 4)
    down = -(-len(chosen) // across)
    with our_style():
        figure = new_figure(1.6 + 3.1 * across, 1.0 + 2.9 * down)
        grid = figure.subplots(down, across, squeeze=False, sharey=True)
        for axes, (_, words, norms) in zip(grid.flat, chosen, strict=False):
            _draw(axes, norms)
            axes.set_title(broken(words), fontsize=8, loc="left")
        for axes in grid.flat[len(chosen) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("L2 norm of a layer's weights")
        depth = max(len(norms.paths) for _, _, norms in chosen)
        bar = figure.colorbar(
            ScalarMappable(Normalize(1, depth), colormaps[COLOURS]), ax=grid, fraction=0.05, pad=0.02, aspect=30
        )
        bar.set_label(f"layer, from the input (1) to the last ({depth})")
        suptitle(figure, f"Weight norms after every mini-batch: {figure_group.title()}")
        return save(figure, folder, name, colours=True)


def _draw(axes: Axes, norms: Norms) -> None:
    batches = len(norms.values)
    shown = np.arange(batches - 1, -1, -max(1, -(-batches // MOST_POINTS)))[::-1]
    colours = colormaps[COLOURS](np.linspace(0, 1, len(norms.paths)))
    for index in range(len(norms.paths)):
        axes.plot(shown, norms.values[shown, index], color=colours[index], linewidth=0.9)
    logarithmic(axes)
    axes.set_xlabel("mini-batch")
    axes.tick_params(labelsize=7)
