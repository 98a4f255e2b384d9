"""Means over images with intervals that resample them.

Such an interval says how sure we are of *these* networks, not of networks that start from other weights: for that, look
at several seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
"""Bootstrap resamples."""
LEVEL = 0.95
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over `images` images with its 95 % bootstrap interval; NaN where there are none."""

    mean: float
    low: float
    high: float
    images: int


def bootstrap(columns: Values, seed: int = 0, draws: int = DRAWS) -> list[Estimate]:
    """Return the Estimate of each column of (images, K), from the same resamples; NaN entries have no value.

    Percentile intervals of the mean over the images that have a value.
    """
    assert columns.ndim == 2
    present = ~np.isnan(columns)
    values = np.where(present, columns, 0.0)
    images, generator = len(columns), np.random.default_rng(seed)
    means = np.empty((draws, columns.shape[1]))
    for first in range(0, draws, 100):  # the counts of all draws at once would be a hundred megabytes and more
        count = min(100, draws - first)
        counts = generator.multinomial(images, np.full(images, 1 / max(images, 1)), count).astype(np.float64)
        weight = counts @ present
        means[first : first + count] = np.divide(
            counts @ values, weight, out=np.full_like(weight, np.nan), where=weight > 0
        )
    estimates = []
    for column in range(columns.shape[1]):
        there = columns[present[:, column], column]
        drawn = means[~np.isnan(means[:, column]), column]
        if len(there):
            low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            estimates.append(Estimate(float(there.mean()), float(low), float(high), len(there)))
        else:
            estimates.append(Estimate(math.nan, math.nan, math.nan, 0))
    return estimates


def mean_of(columns: Sequence[Values]) -> Values:
    """Return the means over the columns, of those that have a value, per image; NaN where none has."""
    stacked = np.stack(columns)
    count = (~np.isnan(stacked)).sum(0)
    mean: Values = np.divide(np.nansum(stacked, axis=0), count, out=np.full(stacked.shape[1], np.nan), where=count > 0)
    return mean
