"""A sweep's figures: accuracy against what varied (of p, the paper's Figure 8), and Optuna's of trials and epochs."""

from __future__ import annotations

import functools
import math
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import optuna.visualization.matplotlib as own
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from scs_study.analysis.plots.style import new_figure, our_style, save
from scs_study.analysis.sweep.rows import Row
from scs_study.analysis.sweep.threshold import Threshold
from scs_study.experiments.sweep.dimension import Dimension
from scs_study.experiments.sweep.settings import Sweep

STYLES: dict[str, dict[str, Any]] = {
    "done": {"marker": "o", "facecolors": "#0072B2", "edgecolors": "#0072B2"},
    "pruned": {"marker": "X", "facecolors": "none", "edgecolors": "#C04000"},
    "diverged": {"marker": "v", "facecolors": "#222222", "edgecolors": "#222222"},
    "unfinished": {"marker": "o", "facecolors": "none", "edgecolors": "#888888"},
}
WRAP = 128
KNOWN = {"layer.p": "p, fixed and shared by all SCS layers"}
"""Settings that a figure says more of than their names."""
ACROSS = 3
"""Panels side by side."""


def accuracy_figure(
    rows: Sequence[Row], found: Threshold | None, sweep: Sweep, line: Dimension, head: str, words: str, folder: Path
) -> tuple[Path, ...]:
    """Return the paths of the figure: best accuracy (%) of every trial against the one range, pruned ones marked.

    head: the caption above, words: the answer below; shaded: the interval of the threshold.
    """
    with our_style():
        drawn = draw_accuracy(rows, found, sweep, line, head, words)
        return save(drawn, folder, f"accuracy_{line.name}", colours=True)


def draw_accuracy(
    rows: Sequence[Row], found: Threshold | None, sweep: Sweep, line: Dimension, head: str, words: str
) -> Figure:
    """Return the figure of `accuracy_figure`, not yet written."""
    figure = headed(head, words)
    axes = figure.subplots()
    _along(axes, line)
    if found is not None:
        _draw_threshold(axes, found, line)
    _draw_trials(axes, rows, line, count=True)
    _mean_line(axes, rows, line)
    axes.set_ylabel(accuracy_label(sweep))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize=8)
    return figure


def slices_figure(rows: Sequence[Row], sweep: Sweep, head: str, folder: Path) -> tuple[Path, ...]:
    """Return the paths of the figure: best accuracy (%) of every trial against each setting that varied, a panel
    each."""
    across = min(ACROSS, len(sweep.dimensions))
    down = math.ceil(len(sweep.dimensions) / across)
    with our_style():
        figure = new_figure(max(5.0, 3.4 * across), 3.1 * down + 0.5)
        figure.suptitle(textwrap.fill(head, int(16 * figure.get_figwidth())), x=0.01, ha="left", fontsize=8)
        panels = figure.subplots(down, across, squeeze=False, sharey=True)
        for place, axes in enumerate(panels.flat):
            if place >= len(sweep.dimensions):
                axes.axis("off")
                continue
            each = sweep.dimensions[place]
            _along(axes, each)
            _draw_trials(axes, rows, each, count=not place)
            if place % across == 0:
                axes.set_ylabel(accuracy_label(sweep))
        if any(row.accuracy is not None for row in rows):
            # Not within a panel: its mark would be one more trial.
            figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper", fontsize=7)
        return save(figure, folder, "slices", colours=True)


def importance_figure(shares: Mapping[str, float], head: str, folder: Path) -> tuple[Path, ...]:
    """Return the paths of the figure of Optuna's importances, a bar a setting; none of no importances."""
    if not shares:
        return ()
    with our_style():
        figure = headed(head, "", 1.2 + 0.35 * len(shares))
        axes = figure.subplots()
        ordered = sorted(shares.items(), key=lambda pair: pair[1])
        bars = axes.barh([name for name, _ in ordered], [share for _, share in ordered], color="#0072B2", height=0.6)
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
        axes.set_xlim(0, 1.1)
        axes.set_axisbelow(True)
        axes.set_xlabel("importance (PED-ANOVA, shares of 1)")
        return save(figure, folder, "optuna_importance", colours=True)


def optuna_figures(study: optuna.Study, head: str, folder: Path) -> tuple[Path, ...]:
    """Return the paths of Optuna's own plots of the accuracy: optimisation history and intermediate values, of each
    only if there is something to plot. Values are fractions, as in the storage.
    """
    trials = study.get_trials(deepcopy=False)
    plots: dict[str, Callable[..., Axes]] = {}
    if any(trial.state == TrialState.COMPLETE for trial in trials):
        plots["optuna_history"] = own.plot_optimization_history
        if len(study.directions) > 1:
            first = functools.partial(own.plot_optimization_history, target=_first, target_name="accuracy")
            plots["optuna_history"] = first
    if any(trial.intermediate_values for trial in trials):
        plots["optuna_intermediate"] = own.plot_intermediate_values
    paths: list[Path] = []
    # They set pyplot's style for good and warn of being experimental; nobody else shall notice.
    with our_style(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        for name, plot in plots.items():
            axes = plot(study)
            figure = axes.figure
            assert isinstance(figure, Figure)
            axes.set_title(textwrap.fill(f"{axes.get_title()}: {head}", WRAP), loc="left", fontsize=8)
            axes.set_title("")
            figure.set_size_inches(7.6, 4.6)
            figure.set_layout_engine("constrained")
            paths += save(figure, folder, name, colours=True)
            pyplot.close(figure)
    return tuple(paths)


def headed(head: str, words: str, height: float = 4.2) -> Figure:
    """Return a figure with the caption above and `words` below."""
    figure = new_figure(7.6, height + 0.7 * bool(words))
    figure.suptitle(textwrap.fill(head, WRAP), x=0.01, ha="left", fontsize=8)
    if words:
        figure.supxlabel(textwrap.fill(words, WRAP), x=0.01, ha="left", fontsize=8)
    return figure


def accuracy_label(sweep: Sweep) -> str:
    """Return what an axis of accuracies is called."""
    return "best test accuracy (%)" if sweep.judged_by == "test" else f"best accuracy (%), {sweep.judged_by} images"


def _first(trial: FrozenTrial) -> float:
    return float(trial.values[0])


def _along(axes: Axes, each: Dimension) -> None:
    label = KNOWN.get(each.key, each.key)
    axes.set_xlabel(f"{label} (log scale)" if each.log else label)
    if each.values:
        axes.set_xlim(-0.5, len(each.values) - 0.5)
        words = [textwrap.shorten(each.describe(value), 16, placeholder="…") for value in each.values]
        crowded = sum(map(len, words)) > 30
        axes.set_xticks(range(len(words)), words, rotation=30 if crowded else 0, ha="right" if crowded else "center")
        return
    axes.set_xlim(_margins(each))
    if each.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if each.high / each.low <= 1000 else (1,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    elif each.whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _margins(each: Dimension) -> tuple[float, float]:
    """Where an axis begins and ends."""
    if each.log:
        return each.low / 1.15, each.high * 1.15
    space = (each.high - each.low) / 30
    return each.low - space, each.high + space


def _draw_threshold(axes: Axes, found: Threshold, line: Dimension) -> None:
    top = 100 * found.best_accuracy
    axes.axhspan(
        top - 100 * found.margin, top, color="#e8f1e4", zorder=0, label=f"within {100 * found.margin:g} points"
    )
    if math.isfinite(found.bad) and math.isfinite(found.good):
        start, end = _margins(line)
        low, high = max(found.low, start), min(found.high, end)
        middle = math.sqrt(found.bad * found.good) if line.log else (found.bad + found.good) / 2
        axes.axvspan(low, high, color="#bbbbbb", alpha=0.3, linewidth=0, zorder=0, label="threshold, 95 % interval")
        axes.axvline(middle, color="#666666", linewidth=1, linestyle="--", zorder=1)


def _draw_trials(axes: Axes, rows: Sequence[Row], each: Dimension, count: bool) -> None:
    """Draw a mark for every trial; with `count`, labels say how many."""
    for kind, style in STYLES.items():
        members = [row for row in rows if kind_of(row) == kind and row.accuracy is not None and each.name in row.point]
        if members:
            places = [each.rank(row.point) for row in members]
            label = f"{kind} ({len(members)})" if count else None
            axes.scatter(places, percent(members), s=36, linewidths=1.2, label=label, zorder=3, **style)


def _mean_line(axes: Axes, rows: Sequence[Row], line: Dimension) -> None:
    done = [(float(row.point[line.name]), row.curve[-1]) for row in rows if row.state == "done"]
    values = sorted({p for p, _ in done})
    if len(done) > len(values) > 1:
        means = [100 * float(np.mean([accuracy for each, accuracy in done if each == p])) for p in values]
        axes.plot(values, means, color="#0072B2", linewidth=1, alpha=0.6, label="mean over seeds, done")


def kind_of(row: Row) -> str:
    """Return which of STYLES a row is drawn in."""
    return row.state if row.state in STYLES else "unfinished"


def percent(rows: Sequence[Row]) -> list[float]:
    """Return the accuracies that are known, in percent."""
    return [100 * row.accuracy for row in rows if row.accuracy is not None]
