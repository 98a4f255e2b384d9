"""The exponent of every kernel of the first SCS layer over the epochs (paper C.1, Figure 7): do they move one way?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scs_study.analysis.collect import identity_columns, layer_history
from scs_study.analysis.listing import write_listing
from scs_study.analysis.plots.style import Panel, broken, color, entitle, new_figure, our_style, panels, save
from scs_study.analysis.variants import Record, label, recipe_words, variants, varying

Exponents = NDArray[np.float64]
"""p of each kernel after each epoch: (epochs, kernels)."""


@dataclass(frozen=True)
class Motion:
    """How the exponents of a layer moved.

    monotone: the share of kernels whose p never turned back; straight: the median over kernels of the way from first to
    last epoch divided by the way travelled, 1 for a monotone one and 0 for one that comes back to where it began.
    first, last: median p after the first and the last epoch; low, high: the range of the last.
    """

    monotone: float
    straight: float
    first: float
    last: float
    low: float
    high: float
    kernels: int


def first_layer(run: Path) -> Exponents | None:
    """The exponents of a run's first layer that has some, for the epochs so far; None where it has none (yet)."""
    frame = layer_history(run)
    with_p = frame[frame["p"].notna()]
    if not len(with_p):
        return None
    first = with_p[with_p["path"] == with_p["path"].iloc[0]]
    return np.array(
        [[np.nan if value is None else value for value in values] for values in first["p"]], dtype=np.float64
    )


def motion(p: Exponents) -> Motion:
    """The Motion of the exponents of a layer. One epoch is no motion: its shares are NaN."""
    steps = np.diff(p, axis=0)
    if len(steps):
        one_way = ((steps >= 0).all(0) | (steps <= 0).all(0)).mean()
        travelled = np.abs(steps).sum(0)
        straight = np.median(np.divide(np.abs(p[-1] - p[0]), travelled, out=np.ones(p.shape[1]), where=travelled > 0))
    else:
        one_way = straight = np.nan
    first, last = (float(np.median(p[index])) for index in (0, -1))
    return Motion(float(one_way), float(straight), first, last, float(p[-1].min()), float(p[-1].max()), p.shape[1])


def p_values(frame: pd.DataFrame, runs: Path, folder: Path) -> tuple[Path, ...]:
    """The paths of the figures (one per architecture, norm, data and size) and of the table of all runs in `frame`."""
    paths: list[Path] = []
    for panel in panels(frame, "p_values"):
        named = zip(panel.groups, panel.labels, strict=True)
        chosen = [(words, group[0], p) for group, words in named if (p := _first(group, runs)) is not None]
        if chosen:
            paths += _figure(panel, chosen, folder / "figures")
    return (*paths, *_table(frame, runs, folder / "tables"))


def _first(group: Sequence[Record], runs: Path) -> Exponents | None:
    """The exponents of the first seed of a variant that has some."""
    return next((p for row in group if (p := first_layer(runs / row["run"])) is not None), None)


def _figure(panel: Panel, chosen: Sequence[tuple[str, Record, Exponents]], folder: Path) -> tuple[Path, ...]:
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
        entitle(figure, f"p of every kernel of the first layer, median in black: {panel.title()}")
        return save(figure, folder, panel.name)


def _table(frame: pd.DataFrame, runs: Path, folder: Path) -> tuple[Path, ...]:
    groups = variants(frame)
    extra = varying(groups, identity_columns(frame))
    rows = [
        (row, label(row, extra), motion(p))
        for group in groups
        for row in group
        if (p := first_layer(runs / row["run"])) is not None
    ]
    heads = ("variant", "seed", "epochs", "kernels", "monotone %", "straightness", "median p first", "last", "range")
    cells = [
        (words, row["seed"], row["epochs_done"], m.kernels, f"{100 * m.monotone:.0f}", f"{m.straight:.2f}",
         f"{m.first:.3f}", f"{m.last:.3f}", f"{m.low:.2f} to {m.high:.2f}")
        for row, words, m in rows
    ]  # fmt: skip
    caption = (
        "p of the kernels of the first layer after every epoch. Monotone: kernels whose p never turned back. "
        "Straightness: the way from the first to the last epoch divided by the way travelled, median over the kernels. "
        f"{recipe_words([row for row, _, _ in rows])}."
    )
    names = [field.name for field in dataclasses.fields(Motion)]
    values = [(row["run"], *dataclasses.astuple(m)) for row, _, m in rows]
    return write_listing(folder, "p_values", caption, (heads, cells), (("run", *names), values))
