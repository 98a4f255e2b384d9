"""Accuracy against the strength of the attack (paper Figures 3, 4, 15-17): a panel for each architecture and data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from scs_study.analysis.plots.style import FigureGroup, new_figure, our_style, save, suptitle
from scs_study.analysis.robustness.results import AttackResult
from scs_study.analysis.statistics import wilson
from scs_study.analysis.variants import spans
from scs_study.evaluation.robustness.settings import Robustness


def curves(
    figure_group: FigureGroup, runs: dict[str, AttackResult], settings: Robustness, folder: Path
) -> tuple[Path, ...]:
    """Return the paths of a figure: each variant's accuracy at every radius, and the same as a share of its clean one.

    The paper compares how fast curves decay, and a network that starts lower has less to lose; hence the second half.
    runs: by name. A variant's line is the mean over its seeds; a bar is the 95 % Wilson interval of that accuracy on as
    many images as one seed saw, so seeds, which share their images, do not narrow it.
    """
    with our_style():
        figure = new_figure(9.6, 4.4)
        left, right = figure.subplots(1, 2)
        handles, labels, images = [], [], 0
        for number, (group, style, words) in enumerate(
            zip(figure_group.variants, figure_group.styles, figure_group.labels, strict=True)
        ):
            members = [runs[row["run"]] for row in group if row["run"] in runs]
            if not members:
                continue
            images = len(members[0].pgd)
            shift = (number - len(figure_group.variants) / 2) * 0.012 * settings.eps[-1]
            handles.append(_draw(left, members, settings, style, shift))
            _draw_share(right, members, settings, style)
            labels.append(words)
        _format_axes(left, settings, "accuracy")
        _format_axes(right, settings, "accuracy, as a share of that without an attack")
        figure.legend(handles, labels, loc="outside right center", fontsize=8, handlelength=3)
        shown = [runs[row["run"]].row for group in figure_group.variants for row in group if row["run"] in runs]
        text = f"{settings.describe()}; {images} test images, bars are 95 % Wilson intervals"
        suptitle(figure, f"{_title(figure_group, len(shown))}. {text}")
        return save(figure, folder, figure_group.name)


def together(
    figure_groups: Sequence[FigureGroup], runs: dict[str, AttackResult], settings: Robustness, folder: Path, name: str
) -> tuple[Path, ...]:
    """Return the paths of one figure with a half-sized panel of each architecture, as the paper's Figure 15."""
    across = min(len(figure_groups), 4)
    down = -(-len(figure_groups) // across)
    with our_style():
        figure = new_figure(1.8 + 2.9 * across, 0.9 + 2.8 * down)
        grid = figure.subplots(down, across, squeeze=False, sharey=True)
        handles: dict[str, Any] = {}
        for axes, figure_group in zip(grid.flat, figure_groups, strict=False):
            for group, style, words in zip(
                figure_group.variants, figure_group.styles, figure_group.labels, strict=True
            ):
                members = [runs[row["run"]] for row in group if row["run"] in runs]
                if members:
                    handles.setdefault(words, _draw(axes, members, settings, style, 0.0))
            first = figure_group.variants[0][0]
            norm = "" if first["norm"] == "none" else f" with {first['norm']}"
            size = "" if first["image_size"] == 32 else f", {first['image_size']} pixels"
            axes.set_title(f"{first['architecture']}{norm}, {first['data']}{size}", fontsize=8, loc="left")
        for axes in grid.flat:  # only now: the panels share an axis, whose upper end is fixed with its lower one
            _format_axes(axes, settings, "accuracy" if axes in grid[:, 0] else "")
        for axes in grid.flat[len(figure_groups) :]:
            axes.set_visible(False)
        figure.legend(list(handles.values()), list(handles), loc="outside right center", fontsize=8, handlelength=3)
        suptitle(figure, f"{settings.describe()}; {_recipes(figure_groups, runs)}")
        return save(figure, folder, name)


def _recipes(figure_groups: Sequence[FigureGroup], runs: dict[str, AttackResult]) -> str:
    shown = [
        runs[row["run"]]
        for figure_group in figure_groups
        for group in figure_group.variants
        for row in group
        if row["run"] in runs
    ]
    epochs, seeds = spans(run.row["epochs"] for run in shown), spans(run.row["seed"] for run in shown)
    return (
        f"{epochs} epoch{'' if epochs == '1' else 's'}, seed {seeds}, {len(shown)} runs attacked; "
        f"{spans(len(run.pgd) for run in shown)} test images, bars are 95 % Wilson intervals"
    )


def _title(figure_group: FigureGroup, runs: int) -> str:
    return f"{figure_group.title()}, {runs} attacked"


def accuracies(members: Sequence[AttackResult], settings: Robustness) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the mean accuracy over the seeds of a variant at every radius, (radii,)."""
    return np.asarray(np.mean([np.array(run.survivors(settings)) / len(run.pgd) for run in members], axis=0))


def _draw(
    axes: Axes, members: Sequence[AttackResult], settings: Robustness, style: dict[str, Any], shift: float
) -> Any:
    means, images = accuracies(members, settings), len(members[0].pgd)
    bounds = np.array([wilson(round(mean * images), images) for mean in means])
    away = np.stack([np.maximum(means - bounds[:, 0], 0), np.maximum(bounds[:, 1] - means, 0)])
    radii = np.array(settings.eps)
    # A little apart, since bars on top of each other cannot be read; the lines stay where they belong.
    axes.errorbar(radii + shift, means, yerr=away, fmt="none", ecolor=style["color"], elinewidth=0.8, alpha=0.7)
    return axes.plot(radii, means, **{**style, "markersize": 3}, linewidth=1.2)[0]


def _draw_share(axes: Axes, members: Sequence[AttackResult], settings: Robustness, style: dict[str, Any]) -> None:
    means = accuracies(members, settings)
    if means[0] > 0:
        axes.plot(settings.eps, means / means[0], **{**style, "markersize": 3}, linewidth=1.2)


def _format_axes(axes: Axes, settings: Robustness, words: str) -> None:
    axes.set_xticks(settings.eps, [f"{radius:g}" for radius in settings.eps])
    axes.set_xlabel("eps (255ths)")
    axes.set_ylabel(words)
    axes.set_ylim(bottom=0)
