"""Weight norms after every mini-batch (paper 4.3, Figure 2), and whether they rise: from which start, with which clamp.

SCS does not change when a kernel is scaled, so its gradient is orthogonal to the kernel and a step of an optimizer
makes it longer (systems.md 1.1 g). What the figure must tell apart: do SCS layers prefer larger weights, or do weights
of any scale grow until the clamp or the learning rate stops them?
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.collect import read_epochs
from scs_study.training import record
from scs_study.training import run_dir as run_folder


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
    """Return the weight norms of a run's layers after every mini-batch so far; None before its first epoch ends.

    Raises ValueError naming the file when it is damaged.
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
    """Return the Growth of one run. A layer that is all zero at first has no ratio and is risen if it grew."""
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


def _mean(values: NDArray[np.float64]) -> float:
    positive = values[values > 0]
    return float(np.exp(np.log(positive).mean())) if len(positive) else float("nan")
