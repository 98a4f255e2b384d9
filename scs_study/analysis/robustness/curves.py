"""Accuracy against the strength of the attack (paper Figures 3, 4, 15-17): a panel for each architecture and data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from scs_study.analysis.plots.style import Panel, entitle, new_figure, our_style, save
from scs_study.analysis.robustness.evaluated import Evaluated
from scs_study.analysis.statistics import wilson
from scs_study.analysis.variants import spans
from scs_study.evaluation.robustness.settings import Robustness


def curves(panel: Panel, runs: dict[str, Evaluated], settings: Robustness, folder: Path) -> tuple[Path, ...]:
    """The paths of a panel's figure: each variant's accuracy at every radius, and the same as a share of its clean one.

    The paper compares how fast curves decay, and a network that starts lower has less to lose; hence the second half.
    runs: by name. A variant's line is the mean over its seeds; a bar is the 95 % Wilson interval of that accuracy on as
    many images as one seed saw, so seeds, which share their images, do not narrow it.
    """
    with our_style():
        figure = new_figure(9.6, 4.4)
        left, right = figure.subplots(1, 2)
        handles, labels, images = [], [], 0
        for number, (group, look, words) in enumerate(zip(panel.groups, panel.looks, panel.labels, strict=True)):
            members = [runs[row["run"]] for row in group if row["run"] in runs]
            if not members:
                continue
            images = len(members[0].pgd)
            shift = (number - len(panel.groups) / 2) * 0.012 * settings.eps[-1]
            handles.append(_draw(left, members, settings, look, shift))
            _draw_share(right, members, settings, look)
            labels.append(words)
        _dress(left, settings, "accuracy")
        _dress(right, settings, "accuracy, as a share of that without an attack")
        figure.legend(handles, labels, loc="outside right center", fontsize=8, handlelength=3)
        shown = [runs[row["run"]].row for group in panel.groups for row in group if row["run"] in runs]
        text = f"{settings.words()}; {images} test images, bars are 95 % Wilson intervals"
        entitle(figure, f"{_title(panel, len(shown))}. {text}")
        return save(figure, folder, panel.name)


def together(
    panels: Sequence[Panel], runs: dict[str, Evaluated], settings: Robustness, folder: Path, name: str
) -> tuple[Path, ...]:
    """The paths of one figure with a half-sized panel of each architecture, as the paper's Figure 15."""
    across = min(len(panels), 4)
    down = -(-len(panels) // across)
    with our_style():
        figure = new_figure(1.8 + 2.9 * across, 0.9 + 2.8 * down)
        grid = figure.subplots(down, across, squeeze=False, sharey=True)
        seen: dict[str, Any] = {}
        for axes, panel in zip(grid.flat, panels, strict=False):
            for group, look, words in zip(panel.groups, panel.looks, panel.labels, strict=True):
                members = [runs[row["run"]] for row in group if row["run"] in runs]
                if members:
                    seen.setdefault(words, _draw(axes, members, settings, look, 0.0))
            first = panel.groups[0][0]
            norm = "" if first["norm"] == "none" else f" with {first['norm']}"
            size = "" if first["image_size"] == 32 else f", {first['image_size']} pixels"
            axes.set_title(f"{first['architecture']}{norm}, {first['data']}{size}", fontsize=8, loc="left")
        for axes in grid.flat:  # only now: the panels share an axis, whose upper end is fixed with its lower one
            _dress(axes, settings, "accuracy" if axes in grid[:, 0] else "")
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        figure.legend(list(seen.values()), list(seen), loc="outside right center", fontsize=8, handlelength=3)
        entitle(figure, f"{settings.words()}; {_recipes(panels, runs)}")
        return save(figure, folder, name)


def _recipes(panels: Sequence[Panel], runs: dict[str, Evaluated]) -> str:
    shown = [runs[row["run"]] for panel in panels for group in panel.groups for row in group if row["run"] in runs]
    epochs, seeds = spans(run.row["epochs"] for run in shown), spans(run.row["seed"] for run in shown)
    return (
        f"{epochs} epoch{'' if epochs == '1' else 's'}, seed {seeds}, {len(shown)} runs attacked; "
        f"{spans(len(run.pgd) for run in shown)} test images, bars are 95 % Wilson intervals"
    )


def _title(panel: Panel, runs: int) -> str:
    return f"{panel.title()}, {runs} attacked"


def accuracies(members: Sequence[Evaluated], settings: Robustness) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The mean accuracy over the seeds of a variant at every radius, (radii,)."""
    return np.asarray(np.mean([np.array(run.left(settings)) / len(run.pgd) for run in members], axis=0))


def _draw(axes: Axes, members: Sequence[Evaluated], settings: Robustness, look: dict[str, Any], shift: float) -> Any:
    means, images = accuracies(members, settings), len(members[0].pgd)
    bounds = np.array([wilson(round(mean * images), images) for mean in means])
    away = np.stack([np.maximum(means - bounds[:, 0], 0), np.maximum(bounds[:, 1] - means, 0)])
    radii = np.array(settings.eps)
    # A little apart, since bars on top of each other cannot be read; the lines stay where they belong.
    axes.errorbar(radii + shift, means, yerr=away, fmt="none", ecolor=look["color"], elinewidth=0.8, alpha=0.7)
    return axes.plot(radii, means, **{**look, "markersize": 3}, linewidth=1.2)[0]


def _draw_share(axes: Axes, members: Sequence[Evaluated], settings: Robustness, look: dict[str, Any]) -> None:
    means = accuracies(members, settings)
    if means[0] > 0:
        axes.plot(settings.eps, means / means[0], **{**look, "markersize": 3}, linewidth=1.2)


def _dress(axes: Axes, settings: Robustness, words: str) -> None:
    axes.set_xticks(settings.eps, [f"{radius:g}" for radius in settings.eps])
    axes.set_xlabel("eps (255ths)")
    axes.set_ylabel(words)
    axes.set_ylim(bottom=0)
