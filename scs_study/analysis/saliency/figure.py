"""The saliency figures: the paper's (an image, one column a variant, one row a class), and the numbers drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from scs_study.analysis.plots.style import FigureGroup, broken, color, new_figure, our_style, save, suptitle
from scs_study.analysis.saliency.compare import SaliencyResult, VariantNumbers
from scs_study.analysis.saliency.estimates import Estimate
from scs_study.analysis.saliency.table import HEADS
from scs_study.evaluation.saliency.maps import describe
from scs_study.evaluation.saliency.measures import NOT_FINITE, SOUND, states
from scs_study.evaluation.saliency.perturbation import Perturbed
from scs_study.evaluation.saliency.settings import SaliencySettings

COLOURS = "magma"
WORDS = {"gini": "Gini index", "entropy": "entropy (share of the largest)", "top_mass": "mass in the top pixels",
         "total_variation": "total variation / mass"}  # fmt: skip
MARKS = {("relu", "max"): "o", ("none", "max"): "s", ("relu", "maxabs"): "^", ("none", "maxabs"): "D"}


@dataclass(frozen=True, eq=False)
class Column:
    """A variant's column: its words, its maps (rows, H, W), and whether it takes each row's image for what it is."""

    words: str
    maps: NDArray[np.float32]
    right: NDArray[np.bool_]


def draw_maps(
    columns: Sequence[Column],
    rows: Sequence[str],
    pictures: NDArray[np.uint8] | None,
    settings: SaliencySettings,
    title: str,
    folder: Path,
    name: str,
) -> tuple[Path, ...]:
    """Return the paths of the paper's figure, PNG and PDF. rows: classes. pictures: (rows, 32, 32, 3), or None.

    A map that is all zero or not finite is drawn as an empty panel that says so; a cross marks maps of images that the
    network takes for something else.
    """
    across = len(columns) + (pictures is not None)
    side = 0.95 if columns[0].maps.shape[1] <= 64 else 1.5
    top = max((_largest(column.maps) for column in columns), default=1.0)
    with our_style():
        figure = new_figure(1.0 + side * across, 1.4 + side * len(rows))
        grid = figure.subplots(len(rows), across, squeeze=False)
        for axes in grid.flat:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        first = 0
        if pictures is not None:
            first = 1
            grid[0, 0].set_title("image", fontsize=8)
            for axes, picture in zip(grid[:, 0], pictures, strict=True):
                axes.imshow(picture, interpolation="nearest")
        for number, column in enumerate(columns):
            grid[0, first + number].set_title("\n".join(broken(column.words).split(" ")), fontsize=8)
            for axes, shown, right in zip(grid[:, first + number], column.maps, column.right, strict=True):
                _panel(axes, shown, None if settings.scale == "map" else top)
                if not right:
                    axes.text(
                        0.04, 0.96, "×", transform=axes.transAxes, ha="left", va="top", fontsize=9, color="#56B4E9"
                    )
        for axes, words in zip(grid[:, 0], rows, strict=True):
            axes.set_ylabel(words, fontsize=8, rotation=0, ha="right", va="center")
        scale = (
            "each map by its own largest value" if settings.scale == "map" else f"all maps by the largest, {top:.3g}"
        )
        crosses = "; ×: the network takes the image for something else"
        wrong = crosses if any(not column.right.all() for column in columns) else ""
        suptitle(figure, f"Saliency maps, {describe(settings.maps)}, {scale}{wrong}. {title}")
        return save(figure, folder, name, colours=True)


def _panel(axes: Axes, shown: NDArray[np.float32], top: float | None) -> None:
    state = int(states(shown[None].astype(np.float64))[0])
    if state != SOUND:
        axes.set_facecolor("#d9d9d9")
        words = "not\nfinite" if state == NOT_FINITE else "all\nzero"
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=7)
        axes.set_aspect("equal")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        return
    largest = float(shown.max()) if top is None else top
    scaled = shown.astype(np.float64) / largest  # float32 maps of nearly dead networks are too small for a colour scale
    axes.imshow(scaled, cmap=COLOURS, vmin=0, vmax=1, interpolation="nearest")


def _largest(maps: NDArray[np.float32]) -> float:
    finite = maps[states(maps.astype(np.float64)) == SOUND]
    return float(finite.max()) if len(finite) else 0.0


def draw_measures(
    found: Sequence[VariantNumbers], settings: SaliencySettings, title: str, folder: Path, name: str
) -> tuple[Path, ...]:
    """Return the paths of a figure with a panel a measure and a row a variant: mean and 95 % bootstrap interval."""
    with our_style():
        figure = new_figure(11.0, 1.5 + 0.26 * len(found))
        grid = figure.subplots(1, len(WORDS), sharey=True)
        for axes, (key, words) in zip(grid, WORDS.items(), strict=True):
            _draw_dots(axes, found, {v.label: v.values[key] for v in found})
            axes.set_xlabel(words, fontsize=8)
        grid[0].set_yticks(range(len(found)), [v.label for v in found])
        grid[0].invert_yaxis()
        suptitle(figure, f"How concentrated saliency maps are, 95 % intervals over images: {title}")
        return save(figure, folder, name)


def draw_checks(
    figure_group: FigureGroup,
    groups: Sequence[Sequence[SaliencyResult]],
    settings: SaliencySettings,
    folder: Path,
    name: str,
) -> tuple[Path, ...]:
    """Return the paths of a figure of deletion, insertion and randomisation curves, means over the images of all seeds.

    Thin and dotted: the same with pixels in random order. () where the settings leave all of them out.
    """
    curves = bool(settings.perturbed)
    count = 2 * curves + bool(settings.randomised)
    if not count:
        return ()
    with our_style():
        figure = new_figure(1.6 + 3.4 * count, 3.9)
        grid = list(figure.subplots(1, count, squeeze=False)[0])
        handles = []
        for group, style, words in zip(groups, figure_group.styles, figure_group.labels, strict=True):
            line = {**style, "linewidth": 1.4}
            for axes, key in zip(grid, ("deletion", "insertion") if curves else (), strict=False):
                perturbed = [s.data.perturbed for s in group if s.data.perturbed is not None]
                (handle,) = axes.plot(*_curve(perturbed, key), **line, markevery=4)
                axes.plot(*_curve(perturbed, f"{key}_random"), color=style["color"], linewidth=0.7, linestyle="dotted")
            if settings.randomised:
                (handle,) = grid[-1].plot(*_similarity(group), **line)
            handle.set_label(words)
            handles.append(handle)
        for axes, key in zip(grid, ("deletion", "insertion") if curves else (), strict=False):
            axes.set_title(f"{HEADS[key]} (dotted: random order)", fontsize=9, loc="left")
            axes.set_xlabel("share of pixels " + ("removed" if key == "deletion" else "brought back"))
            axes.set_ylabel("probability of the class")
            axes.set_ylim(bottom=0)
        if settings.randomised:
            _name_layers(grid[-1], groups)
        figure.legend(handles=handles, loc="outside right upper", fontsize=8, handlelength=3)
        suptitle(figure, f"Do saliency maps matter to the network, and it to them? {figure_group.title()}")
        return save(figure, folder, name)


def _curve(found: Sequence[Perturbed], key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = np.concatenate([getattr(each, key) for each in found]).mean(0)
    return np.linspace(0, 1, len(mean)), mean


def _similarity(group: Sequence[SaliencyResult]) -> tuple[list[int], list[float]]:
    tables = [result.data.randomised.correlation for result in group if result.data.randomised is not None]
    together = np.concatenate(tables, axis=1)
    means = [float(np.nanmean(row)) if not np.isnan(row).all() else math.nan for row in together]
    return list(range(len(means) + 1)), [1.0, *means]


def _name_layers(axes: Axes, groups: Sequence[Sequence[SaliencyResult]]) -> None:
    paths = next(result.data.randomised.layers for result in groups[0] if result.data.randomised is not None)
    every = -(-len(paths) // 12)
    axes.set_xticks(range(0, len(paths) + 1, every), ["none", *paths][::every], rotation=40, ha="right", fontsize=7)
    axes.set_title("layers randomised, from the head down", fontsize=9, loc="left")
    axes.set_ylabel("rank correlation with the trained map")
    axes.axhline(0, color="black", linewidth=0.6)


def _draw_dots(axes: Axes, found: Sequence[VariantNumbers], values: Mapping[str, Estimate]) -> None:
    for place, v in enumerate(found):
        estimate = values[v.label]
        if math.isnan(estimate.mean):
            axes.text(0.5, place, "no map", transform=axes.get_yaxis_transform(), ha="center", va="center", fontsize=7)
            continue
        colour = color(v.row["layer"], v.row["pooling"])
        axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=1.4)
        mark = MARKS[v.row["activation"], v.row["pooling"]]
        axes.plot([estimate.mean], [place], color=colour, marker=mark, markersize=5)
    axes.tick_params(labelsize=8)
