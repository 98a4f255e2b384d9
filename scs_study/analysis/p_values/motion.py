"""The exponent of every kernel of the first SCS layer over the epochs (paper C.1, Figure 7): do they move one way?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.collect import layer_history

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
    """Return the exponents of a run's first layer that has some, epoch by epoch; None where it has none (yet)."""
    frame = layer_history(run)
    with_p = frame[frame["p"].notna()]
    if not len(with_p):
        return None
    first = with_p[with_p["path"] == with_p["path"].iloc[0]]
    return np.array(
        [[np.nan if value is None else value for value in values] for values in first["p"]], dtype=np.float64
    )


def motion(p: Exponents) -> Motion:
    """Return the Motion of the exponents of a layer. One epoch is no motion: its shares are NaN."""
    steps = np.diff(p, axis=0)
    if len(steps):
        one_way = ((steps >= 0).all(0) | (steps <= 0).all(0)).mean()
        travelled = np.abs(steps).sum(0)
        straight = np.median(np.divide(np.abs(p[-1] - p[0]), travelled, out=np.ones(p.shape[1]), where=travelled > 0))
    else:
        one_way = straight = np.nan
    first, last = (float(np.median(p[index])) for index in (0, -1))
    return Motion(float(one_way), float(straight), first, last, float(p[-1].min()), float(p[-1].max()), p.shape[1])
