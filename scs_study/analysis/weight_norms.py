"""Weight norms after every mini-batch (paper 4.3, Figure 2), and whether they rise: from which start, with which clamp.

SCS does not change when a kernel is scaled, so its gradient is orthogonal to the kernel and a step of an optimizer
makes it longer (systems.md 1.1 g). What the figure must tell apart: do SCS layers prefer larger weights, or do weights
of any scale grow until the clamp or the learning rate stops them?
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from scs_study.analysis.collect import identity_columns, read_epochs
from scs_study.analysis.listing import write_listing
from scs_study.analysis.plots.style import Panel, broken, entitle, new_figure, our_style, panels, save
from scs_study.analysis.variants import Record, label, recipe_words, variants, varying
from scs_study.config.schema import CHECKPOINT
from scs_study.training import record
from scs_study.training import run_dir as run_folder

MOST_POINTS = 1500
"""Mini-batches that a line shows: of a longer run every second, third, ... one, counted from the last."""
COLOURS = "viridis"


@dataclass(frozen=True)
class Norms:
    """paths: the layers in the network's order. values: (mini-batches + 1, layers), L2, the first before any step.

    ends: the rows of `values` that stand at the ends of epochs, the first row among them.
    """

    paths: tuple[str, ...]
    values: NDArray[np.float64]
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Growth:
    """How the weight norms of one run's layers went: geometric means over its layers, and how many grew.

    start, end: norm before the first and after the last mini-batch. ratio: end / start. largest: the greatest of the
    layers' ratios, smallest the least. rising: layers whose norm rose in more mini-batches than it fell and ended above
    its start; monotone: layers whose norm never fell over an epoch. layers: of how many.
    """

    start: float
    end: float
    ratio: float
    smallest: float
    largest: float
    rising: int
    monotone: int
    layers: int


def step_norms(run: Path) -> Norms | None:
    """The weight norms of a run's layers after every mini-batch so far; None before its first epoch ends.

    Errors: ValueError naming the file when it is damaged.
    """
    lines = read_epochs(run / run_folder.STEPS)
    if not lines:
        return None
    try:
        values = [np.array([lines[0]["before"]], dtype=np.float64)]
        values += [record.weight_norms(line).astype(np.float64) for line in lines]
        ends = tuple(itertools.accumulate((len(part) for part in values[1:]), initial=0))
        return Norms(tuple(lines[0]["layers"]), np.concatenate(values), ends)
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{run / run_folder.STEPS} is damaged: {error}") from error


def growth(norms: Norms) -> Growth:
    """The Growth of one run. A layer that is all zero at its start has no ratio and counts as risen if it grew."""
    start, end = norms.values[0], norms.values[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = end / start
    known = ratios[np.isfinite(ratios) & (ratios > 0)]
    change = np.diff(norms.values, axis=0)
    rising = ((change > 0).sum(0) > (change < 0).sum(0)) & (end > start)
    epochs = np.diff(norms.values[list(norms.ends)], axis=0)
    return Growth(
        start=_mean(start),
        end=_mean(end),
        ratio=_mean(known),
        smallest=float(known.min(initial=np.inf)) if len(known) else np.nan,
        largest=float(known.max(initial=0)) if len(known) else np.nan,
        rising=int(rising.sum()),
        monotone=int((epochs >= 0).all(0).sum()),
        layers=len(norms.paths),
    )


def weight_norms(frame: pd.DataFrame, runs: Path, folder: Path) -> tuple[Path, ...]:
    """The paths of the weight-norm figures and table of the runs in `frame`, in folder/figures and folder/tables.

    A figure per architecture, norm, data and image size, with a panel for each variant that has other layers than plain
    convolutions (the first seed of it that has begun); all panels share their scale.
    """
    paths: list[Path] = []
    for panel in panels(frame, "weight_norms"):
        chosen = [
            (group[0], words, norms)
            for group, words in zip(panel.groups, panel.labels, strict=True)
            if group[0]["layer"] != "conv" and (norms := _first(group, runs)) is not None
        ]
        if chosen:
            paths += _figure(panel, chosen, folder / "figures", panel.name)
        papers = sorted(
            (each for each in chosen if _in_figure_2(each[0])), key=lambda each: each[0]["init"] != "uniform"
        )
        if len({each[0]["init"] for each in papers}) > 1:
            paths += _figure(panel, papers, folder / "figures", panel.name.replace("weight_norms", "figure2"))
    return (*paths, *_table(frame, runs, folder / "tables"))


def _in_figure_2(row: Record) -> bool:
    """Whether a run is one of the paper's two: from U(-1, 1) or from trained weights, with its layer's clamp."""
    start = row["init"] in ("uniform", "pretrained") or CHECKPOINT.fullmatch(row["init"]) is not None
    return start and row["layer.w_max"] == 1.0 and row["layer.weight_scale"] == 1.0


def _first(group: Sequence[Record], runs: Path) -> Norms | None:
    found = (step_norms(runs / row["run"]) for row in group)
    return next((norms for norms in found if norms is not None), None)


def _figure(panel: Panel, chosen: Sequence[tuple[Record, str, Norms]], folder: Path, name: str) -> tuple[Path, ...]:
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
        entitle(figure, f"Weight norms after every mini-batch: {panel.title()}")
        return save(figure, folder, name, colours=True)


def _draw(axes: Axes, norms: Norms) -> None:
    batches = len(norms.values)
    shown = np.arange(batches - 1, -1, -max(1, -(-batches // MOST_POINTS)))[::-1]
    colours = colormaps[COLOURS](np.linspace(0, 1, len(norms.paths)))
    for index in range(len(norms.paths)):
        axes.plot(shown, norms.values[shown, index], color=colours[index], linewidth=0.9)
    axes.set_yscale("log")
    axes.set_xlabel("mini-batch")
    axes.tick_params(labelsize=7)


def _table(frame: pd.DataFrame, runs: Path, folder: Path) -> tuple[Path, ...]:
    groups = variants(frame)
    extra = varying(groups, identity_columns(frame))
    rows = []
    for group in groups:
        for row in group:
            norms = step_norms(runs / row["run"])
            if norms is None:
                continue
            rows.append((row, label(row, extra), growth(norms)))
    heads = (
        "variant",
        "seed",
        "state",
        "epochs",
        "start",
        "end",
        "end/start",
        "least",
        "greatest",
        "rising",
        "never fell",
    )
    cells = [
        (words, row["seed"], row["state"], row["epochs_done"], f"{g.start:.3g}", f"{g.end:.3g}", f"{g.ratio:.2f}",
         f"{g.smallest:.2f}", f"{g.largest:.2f}", f"{g.rising}/{g.layers}", f"{g.monotone}/{g.layers}")
        for row, words, g in rows
    ]  # fmt: skip
    caption = (
        "L2 norms of the layers' weights before the first and after the last mini-batch (geometric means over the "
        "layers), their ratio with the least and greatest of any layer, how many layers rose in more mini-batches than "
        f"they fell, and how many never fell over an epoch. {recipe_words([row for row, _, _ in rows])}."
    )
    names = [field.name for field in dataclasses.fields(Growth)]
    values = [(row["run"], *dataclasses.astuple(g)) for row, _, g in rows]
    return write_listing(folder, "weight_norms", caption, (heads, cells), (("run", *names), values))


def _mean(values: NDArray[np.float64]) -> float:
    positive = values[values > 0]
    return float(np.exp(np.log(positive).mean())) if len(positive) else float("nan")
