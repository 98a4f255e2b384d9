"""Error curves: test error against epoch, every seed thin and the mean over seeds bold, whole and zoomed.

The plots of scs-gallery's show_results.py (systems.md 4), with a legend, for any number of variants, while they train.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from scs_study.analysis.collect import FINAL, WHOLE, history
from scs_study.analysis.plots.style import (
    BAND,
    FigureGroup,
    broken,
    figure_groups,
    new_figure,
    our_style,
    save,
    suptitle,
)
from scs_study.analysis.variants import Record, short_state

Curve = NDArray[np.float64]
"""Test error in % after epochs 1, 2, ...; NaN after a diverged epoch."""


@dataclass(frozen=True)
class Seed:
    """One run of a variant, as far as it has come."""

    state: str
    curve: Curve

    @property
    def latest(self) -> float | None:
        """The test error of its last epoch that has one, in %."""
        known = self.curve[~np.isnan(self.curve)]
        return float(known[-1]) if len(known) else None


SIGMAS = 3.0
LEAST_WINDOW = 1.0
"""Half the height, in percentage points, that the zoom has at least."""


def curves(frame: pd.DataFrame, runs: Path, folder: Path, name: str = "curves") -> tuple[Path, ...]:
    """Return the paths of the error curves of all runs in `frame`: PNG and PDF per architecture, norm, data and image
    size.

    runs: where the run folders are; folder: where the figures go. Runs that have no epoch yet are counted in the
    title and have no curve; so have runs whose history is damaged, and the figure says how many.
    """
    paths: list[Path] = []
    for figure_group in figure_groups(frame, name):
        paths += _figure(figure_group, runs, folder)
    return tuple(paths)


def zoom_window(finals: Sequence[float]) -> tuple[float, float]:
    """Return (low, high): final errors' median -+ 3 sigma, in %, where sigma is 1.4826 x their median absolute
    deviation.

    The mean and standard deviation of show_results.py, made robust: one network at chance would else set the window.
    """
    centre = float(np.median(finals))
    sigma = 1.4826 * float(np.median(np.abs(np.asarray(finals) - centre)))
    half = max(SIGMAS * sigma, LEAST_WINDOW)
    return max(0.0, centre - half), min(100.0, centre + half)


def mean_curve(members: Sequence[Seed]) -> Curve:
    """Return the mean over the seeds that went to their end; where none did, over all, for the epochs that all of them
    have.

    A seed that is behind, failed or diverged would bend the mean where it stops; it has its own thin line.
    """
    chosen = [seed.curve for seed in members if seed.state in WHOLE] or [seed.curve for seed in members]
    common = min(len(curve) for curve in chosen)
    return np.asarray(np.mean([curve[:common] for curve in chosen], axis=0))


def smoothing(epochs: int) -> int:
    """Return the epochs (odd) that the bold line is a running mean over: a hundredth of all; 1, that is none, below
    200.

    Of 800 noisy epochs the bold lines of ten variants are a single blot; the thin lines stay as they are.
    """
    return 1 if epochs < 200 else epochs // 200 * 2 + 1


def _figure(figure_group: FigureGroup, runs: Path, folder: Path) -> tuple[Path, ...]:
    loaded = [_load(group, runs) for group in figure_group.variants]
    damaged = sum(bad for _, bad in loaded)
    seeds = [seed for members, _ in loaded for seed in members]
    longest = max((len(seed.curve) for seed in seeds), default=1)
    finals = [seed.latest for seed in seeds if seed.latest is not None]
    with our_style():
        figure = new_figure(11.5, 4.6)
        whole, zoomed = figure.subplots(1, 2)
        handles = []
        for (members, _), style, words, group in zip(
            loaded, figure_group.styles, figure_group.labels, figure_group.variants, strict=True
        ):
            for axes in (whole, zoomed):
                handle = _draw(axes, members, style, longest)
            handle.set_label(f"{broken(words)}: {_error_words(members, group)}")
            handles.append(handle)
        width = smoothing(longest)
        smooth = f"; bold: running mean over {width} epochs" if width > 1 else ""
        _format_axes(whole, f"All epochs{smooth}", 1, longest)
        whole.set_ylim(0, 1.03 * whole.get_ylim()[1])  # no marker is cut in half
        if finals:
            low, high = zoom_window(finals)
            entering = [int(np.argmax(s.curve <= high)) + 1 for s in seeds if (s.curve <= high).any()]
            _format_axes(
                zoomed, f"Zoom: median of latest errors ± {SIGMAS:g}σ (robust)", min(entering, default=1), longest
            )
            zoomed.set_ylim(low, high)
            whole.axhspan(low, high, color=BAND, zorder=0)
        else:
            _format_axes(zoomed, "Zoom: no run has an error yet", 1, longest)
        title = figure_group.title() + (f"; {damaged} damaged and left out" if damaged else "")
        suptitle(figure, title, beside=3.6)
        figure.legend(
            handles=handles,
            loc="outside right upper",
            fontsize=8,
            title="layer, activation, pooling: final test error,\nmean over finished seeds",
            title_fontsize=8,
            handlelength=3,
        )
        return save(figure, folder, figure_group.name)


def _error_words(members: Sequence[Seed], group: Sequence[Record]) -> str:
    ended = [seed.latest for seed in members if seed.state in FINAL and seed.latest is not None]
    if ended:
        count = f"n={len(ended)}" if len(ended) == len(group) else f"n={len(ended)} of {len(group)}"
        return f"{np.mean(ended):.1f} % ({count})"
    return short_state(group)


def _draw(axes: Axes, members: Sequence[Seed], style: dict[str, Any], longest: int) -> Line2D:
    if not members:
        return axes.plot([], [], **style)[0]
    width = smoothing(longest)
    if len(members) > 1 or width > 1:
        for seed in members:
            thin, alpha = (0.6, 0.35) if width == 1 else (0.4, 0.2)
            axes.plot(range(1, len(seed.curve) + 1), seed.curve, color=style["color"], linewidth=thin, alpha=alpha)
    mean = pd.Series(mean_curve(members)).rolling(width, center=True, min_periods=1).mean().to_numpy()
    # A line of one point has no length: it needs a marker to be seen.
    marker = "s" if len(mean) == 1 and style["marker"] == "none" else style["marker"]
    every = max(1, len(mean) // 8)
    return axes.plot(range(1, len(mean) + 1), mean, **{**style, "marker": marker}, markevery=every, linewidth=1.6)[0]


def _format_axes(axes: Axes, title: str, first: int, last: int) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel("epoch")
    axes.set_ylabel("test error (%)")
    first = min(first, max(1, last - 1))
    # Room for the markers at both ends, and for a single epoch to be a place at all.
    room = max(0.02 * (last - first), 0.25)
    axes.set_xlim(first - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))


def _load(group: Sequence[Record], runs: Path) -> tuple[list[Seed], int]:
    members, damaged = [], 0
    for row in group:
        try:
            epochs = history(runs / row["run"])
        except ValueError:
            damaged += 1
            continue
        if len(epochs):
            members.append(Seed(row["state"], 100 * (1 - epochs["test_accuracy"].to_numpy(dtype=np.float64))))
    return members, damaged
