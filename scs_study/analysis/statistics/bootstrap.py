"""The two-level bootstrap of a difference that was measured on images: seeds first, then the same images in both cells.

To resample images alone says how sure we are of *these* networks; the seed is what other people will not share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.statistics.summary import FEWEST

DRAWS = 2000
Values = NDArray[np.float64]


def two_level_means(differences: Values, draws: int = DRAWS, seed: int = 0) -> Values:
    """Return the bootstrap means of differences (seeds, images) between two cells on the same images, at most `draws`.

    NaN entries are images without a value (a map that is all zero); a seed's mean is over those that have one. Every
    draw takes as many seeds, with replacement, and one sample of the images, which all its seeds share: the images are
    the same ones whoever is asked. A draw without any value is none.
    """
    assert differences.ndim == 2
    seeds, images = differences.shape
    present = ~np.isnan(differences)
    values = np.where(present, differences, 0.0)
    generator = np.random.default_rng(seed)
    means = np.empty(draws)
    for first in range(0, draws, 100):  # the counts of all draws at once would be a hundred megabytes and more
        count = min(100, draws - first)
        weight = generator.multinomial(images, np.full(images, 1 / images), count).astype(np.float64)
        there = weight @ present.T
        of_seed = np.divide(weight @ values.T, there, out=np.full(there.shape, np.nan), where=there > 0)
        chosen = generator.integers(0, seeds, (count, seeds))
        drawn = np.take_along_axis(of_seed, chosen, 1)
        known = ~np.isnan(drawn)
        means[first : first + count] = np.divide(
            np.where(known, drawn, 0).sum(1), known.sum(1), out=np.full(count, np.nan), where=known.any(1)
        )
    return means[~np.isnan(means)]


def two_level_interval(
    differences: Values, levels: Sequence[float], draws: int = DRAWS, seed: int = 0
) -> list[tuple[float, float]]:
    """Return a percentile interval of the mean difference for each of `levels`; (NaN, NaN) below FEWEST seeds."""
    if len(differences) < FEWEST:
        return [(math.nan, math.nan)] * len(levels)
    means = two_level_means(differences, draws, seed)
    bounds = np.quantile(means, [share for level in levels for share in ((1 - level) / 2, (1 + level) / 2)])
    return [(float(bounds[2 * k]), float(bounds[2 * k + 1])) for k in range(len(levels))]
