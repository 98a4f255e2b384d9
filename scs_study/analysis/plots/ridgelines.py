"""How weights, p and q of a run's layers are distributed over its epochs, one ridge an epoch (systems.md 4).

As in Rohrer's gallery: counts on a logarithmic scale of base 2, the latest epoch at the bottom and in front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from scs_study.analysis.collect import read_epochs
from scs_study.analysis.plots.style import new_figure, our_style, save, suptitle
from scs_study.training import run_dir as run_folder

RIDGES = 16
"""Epochs shown, evenly spread, the last one always among them."""
BINS = 20
"""Of the histograms of p: a layer has tens of kernels."""
ACROSS = 7
"""Layers side by side; deeper networks continue below."""
HEIGHT = 2.2
"""Of the highest ridge, in distances between two ridges."""
Ridge = tuple[NDArray[np.float64], NDArray[np.float64]]
"""The edges of bins and the counts in them."""
QUANTITIES = {"weights": "weight", "p": "p of a kernel", "q": "log10 q"}


def ridgelines(run: Path, folder: Path) -> tuple[Path, ...]:
    """Return the paths of a run's ridgelines, PNG and PDF named after the run; () before its first epoch ends.

    A column a layer; rows for the weights, and for p and q where there are some. Usable while the run trains.
    Raises ValueError naming the file when layers.jsonl is damaged.
    """
    lines = read_epochs(run / run_folder.LAYERS)
    if not lines:
        return ()
    chosen = [lines[index] for index in chosen_epochs(len(lines))]
    layers = list(chosen[-1]["layers"])
    kinds = [kind for kind in QUANTITIES if any(_has(chosen[-1]["layers"][path], kind) for path in layers)]
    if not kinds:
        return ()
    across = min(ACROSS, len(layers))
    bands = -(-len(layers) // across)
    with our_style():
        figure = new_figure(1.0 + 2.6 * across, 0.8 + 2.9 * bands * len(kinds))
        grid = figure.subplots(bands * len(kinds), across, squeeze=False)
        for axes in grid.flat:
            axes.set_visible(False)
        for number, path in enumerate(layers):
            band, column = divmod(number, across)
            for offset, kind in enumerate(kinds):
                axes = grid[band * len(kinds) + offset, column]
                _panel(axes, [(line["epoch"], line["layers"][path]) for line in chosen], kind, column == 0)
                if offset == 0:
                    axes.set_title(path, fontsize=8)
        suptitle(figure, f"{run.name}: counts on a log2 scale")
        return save(figure, folder, f"ridgelines-{run.name}", colours=True)


def chosen_epochs(count: int) -> list[int]:
    """Return the indices of at most RIDGES of `count` epochs, evenly spread, the first and the last among them."""
    return sorted({round(index) for index in np.linspace(0, count - 1, min(count, RIDGES))})


def heights(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the heights of a ridge: log2 of 1 + count, so that an empty bin is flat and a single weight is seen."""
    return np.asarray(np.log2(1 + counts))


def _has(layer: Mapping[str, Any], kind: str) -> bool:
    return layer.get(kind) is not None


def _panel(axes: Axes, epochs: Sequence[tuple[int, Mapping[str, Any]]], kind: str, labelled: bool) -> None:
    known = [(epoch, layer) for epoch, layer in epochs if _has(layer, kind)]
    if not known:
        return
    axes.set_visible(True)
    if kind == "q":
        _dots(axes, known)
    else:
        _ridges(axes, known, kind)
    axes.set_yticks(range(0, -len(known), -1), [str(epoch) for epoch, _ in known] if labelled else [])
    axes.set_ylim(-len(known) + 0.6, HEIGHT if kind != "q" else 0.5)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=7, left=False)
    axes.set_xlabel(QUANTITIES[kind], fontsize=8)
    if labelled:
        axes.set_ylabel("epoch", fontsize=8)


def _ridges(axes: Axes, known: Sequence[tuple[int, Mapping[str, Any]]], kind: str) -> None:
    values = [_finite(layer[kind]) for _, layer in known] if kind == "p" else []
    span = (min(map(np.min, values)), max(map(np.max, values))) if values else (0.0, 1.0)
    curves = [_of_p(each, span) for each in values] or [_recorded(layer[kind]) for _, layer in known]
    top = max(float(heights(counts).max()) for _, counts in curves)
    colours = colormaps["viridis"](np.linspace(0.15, 0.85, len(curves)))
    for level, (edges, counts) in enumerate(curves):
        tall = HEIGHT * heights(counts) / top
        # Each ridge hides what of the earlier ones lies behind it.
        axes.stairs(tall - level, edges, baseline=-level, fill=True, color=colours[level], alpha=0.85, zorder=level)
        axes.stairs(tall - level, edges, baseline=None, color="white", linewidth=0.5, zorder=level + 0.5)


def _recorded(weights: Mapping[str, Any]) -> Ridge:
    low, high, counts = weights["low"], weights["high"], np.array(weights["counts"], dtype=np.float64)
    return np.linspace(low, high if high > low else low + 1e-6, len(counts) + 1), counts


def _of_p(p: NDArray[np.float64], span: tuple[float, float]) -> Ridge:
    """Return a ridge of p, in the same bins for every epoch: of few kernels, moving bins alone would move it."""
    room = max(0.02 * (span[1] - span[0]), 1e-3)
    counts, edges = np.histogram(p, BINS, (span[0] - room, span[1] + room))
    return edges, counts.astype(np.float64)


def _finite(p: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([value for value in p if value is not None] or [0.0], dtype=np.float64)


def _dots(axes: Axes, known: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Draw a dot an epoch: q is one number a layer."""
    values = [np.log10(layer["q"]) for _, layer in known]
    axes.plot(values, range(0, -len(known), -1), color="#444444", linewidth=0.8, marker="o", markersize=3)
    middle, half = float(np.mean(values)), max(0.05, float(np.ptp(values)))
    axes.set_xlim(middle - half, middle + half)
    axes.xaxis.set_major_locator(MaxNLocator(4))
