"""A sweep's figures: accuracy against p (the paper's Figure 8), and Optuna's own of the trials and their epochs."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import optuna.visualization.matplotlib as own
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from scs_study.analysis.plots.style import new_figure, our_style, save
from scs_study.analysis.sweep.rows import Row
from scs_study.analysis.sweep.threshold import Threshold
from scs_study.experiments.sweep.settings import Sweep

STYLES: dict[str, dict[str, Any]] = {
    "done": {"marker": "o", "facecolors": "#0072B2", "edgecolors": "#0072B2"},
    "pruned": {"marker": "X", "facecolors": "none", "edgecolors": "#C04000"},
    "diverged": {"marker": "v", "facecolors": "#222222", "edgecolors": "#222222"},
    "unfinished": {"marker": "o", "facecolors": "none", "edgecolors": "#888888"},
}
WRAP = 128


def accuracy_figure(
    rows: Sequence[Row], found: Threshold | None, sweep: Sweep, head: str, words: str, folder: Path
) -> tuple[Path, ...]:
    """Return the paths of the figure: best test accuracy (%) of every trial against its p, pruned ones marked.

    head: the caption above, words: the answer below; shaded: the interval of the threshold.
    """
    with our_style():
        return save(draw_accuracy(rows, found, sweep, head, words), folder, "accuracy_p", colours=True)


def draw_accuracy(rows: Sequence[Row], found: Threshold | None, sweep: Sweep, head: str, words: str) -> Figure:
    """Return the figure of `accuracy_figure`, not yet written."""
    figure = _figure(head, words)
    axes = figure.subplots()
    _p_axis(axes, sweep)
    if found is not None:
        _draw_threshold(axes, found, sweep)
    for kind, style in STYLES.items():
        members = [row for row in rows if _kind(row) == kind and row.accuracy is not None]
        if members:
            axes.scatter(
                _p(members),
                _percent(members),
                s=36,
                linewidths=1.2,
                label=f"{kind} ({len(members)})",
                zorder=3,
                **style,
            )
    _mean_line(axes, rows)
    axes.set_ylabel("best test accuracy (%)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize=8)
    return figure


def optuna_figures(study: optuna.Study, head: str, folder: Path, weighed: bool) -> tuple[Path, ...]:
    """Return the paths of Optuna's own plots: optimisation history, intermediate values, and parameter importances if p
    is `weighed` against something; of each only if there is something to plot. Values are fractions, as in the storage.
    """
    trials = study.get_trials(deepcopy=False)
    plots: dict[str, Callable[..., Axes]] = {}
    if any(trial.state == TrialState.COMPLETE for trial in trials):
        plots["optuna_history"] = own.plot_optimization_history
    if any(trial.intermediate_values for trial in trials):
        plots["optuna_intermediate"] = own.plot_intermediate_values
    if weighed:
        plots["optuna_importance"] = own.plot_param_importances
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


def _figure(head: str, words: str) -> Figure:
    figure = new_figure(7.6, 4.9 if words else 4.2)
    figure.suptitle(textwrap.fill(head, WRAP), x=0.01, ha="left", fontsize=8)
    if words:
        figure.supxlabel(textwrap.fill(words, WRAP), x=0.01, ha="left", fontsize=8)
    return figure


def _p_axis(axes: Axes, sweep: Sweep) -> None:
    axes.set_xscale("log")
    axes.set_xlim(sweep.low / 1.15, sweep.high * 1.15)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.set_xlabel("p, fixed and shared by all SCS layers (log scale)")


def _draw_threshold(axes: Axes, found: Threshold, sweep: Sweep) -> None:
    top = 100 * found.best_accuracy
    axes.axhspan(
        top - 100 * found.margin, top, color="#e8f1e4", zorder=0, label=f"within {100 * found.margin:g} points"
    )
    if found.bad > 0 and math.isfinite(found.good):
        low, high = max(found.low, sweep.low / 1.15), min(found.high, sweep.high * 1.15)
        axes.axvspan(low, high, color="#bbbbbb", alpha=0.3, linewidth=0, zorder=0, label="threshold, 95 % interval")
        axes.axvline(math.sqrt(found.bad * found.good), color="#666666", linewidth=1, linestyle="--", zorder=1)


def _mean_line(axes: Axes, rows: Sequence[Row]) -> None:
    done = [row for row in rows if row.state == "done"]
    values = sorted({row.p for row in done})
    if len(done) > len(values) > 1:
        means = [100 * float(np.mean([row.curve[-1] for row in done if row.p == p])) for p in values]
        axes.plot(values, means, color="#0072B2", linewidth=1, alpha=0.6, label="mean over seeds, done")


def _kind(row: Row) -> str:
    return row.state if row.state in STYLES else "unfinished"


def _p(rows: Sequence[Row]) -> list[float]:
    return [row.p for row in rows]


def _percent(rows: Sequence[Row]) -> list[float]:
    return [100 * row.accuracy for row in rows if row.accuracy is not None]
