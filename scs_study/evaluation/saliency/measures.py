"""How concentrated a saliency map is: numbers in place of the paper's eye (systems.md, appendix C).

A map is taken as a distribution of mass over its pixels, so its scale does not count. All in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

MEASURES = ("gini", "entropy", "top_mass", "total_variation")
SOUND, ZERO, NOT_FINITE = 0, 1, 2
"""States of a map: one that can be measured, one of a dead network (all zero), one with overflowed gradients."""


@dataclass(frozen=True)
class Measures:
    """The measures of N maps, each (N,), NaN exactly where state is not SOUND.

    gini: 0 for a uniform map, 1 - 1/pixels for a single pixel (Gini index of the pixels' values). entropy: of the
    distribution, as a share of the largest possible, log(pixels): 1 for a uniform map, 0 for a single pixel. top_mass:
    the share of the mass in the `top` share of the pixels with most of it. total_variation: the sum of the absolute
    differences between neighbours to the right and below, divided by the mass: 0 for a uniform map, 4 for isolated
    pixels; scattered maps have more than smooth ones.
    """

    state: NDArray[np.int64]
    gini: Values
    entropy: Values
    top_mass: Values
    total_variation: Values


def measure(maps: ArrayLike, top: float = 0.05) -> Measures:
    """Return the Measures of `maps`, (N, H, W) and not negative. top: a share of the pixels, at least one of them."""
    values = np.asarray(maps, dtype=np.float64)
    assert values.ndim == 3
    assert 0 < top <= 1
    state = states(values)
    found = {name: np.full(len(values), np.nan) for name in MEASURES}
    sound = state == SOUND
    if sound.any():
        scaled = values[sound]
        scaled /= scaled.max(axis=(1, 2), keepdims=True)  # first: the sum of huge values would overflow
        share = scaled / scaled.sum(axis=(1, 2), keepdims=True)
        ranked = np.sort(share.reshape(len(share), -1), axis=1)
        found["gini"][sound] = _gini(ranked)
        found["entropy"][sound] = _entropy(ranked)
        found["top_mass"][sound] = ranked[:, -max(1, round(top * ranked.shape[1])) :].sum(1)
        found["total_variation"][sound] = sum(np.abs(np.diff(share, axis=axis)).sum((1, 2)) for axis in (1, 2))
    return Measures(state, **found)


def states(maps: Values) -> NDArray[np.int64]:
    """Return the state of each of the maps (N, H, W), int64 (N,)."""
    finite = np.isfinite(maps).all((1, 2))
    return np.where(~finite, NOT_FINITE, np.where((maps == 0).all((1, 2)), ZERO, SOUND))


def _gini(ranked: Values) -> Values:
    pixels = ranked.shape[1]
    return np.asarray(2 * (ranked @ np.arange(1, pixels + 1)) / pixels - (pixels + 1) / pixels)


def _entropy(ranked: Values) -> Values:
    logarithm = np.log(ranked, out=np.zeros_like(ranked), where=ranked > 0)
    return np.asarray(-(ranked * logarithm).sum(1) / np.log(ranked.shape[1]))


def spearman(a: ArrayLike, b: ArrayLike) -> Values:
    """Return the rank correlations of N pairs of maps, (N, H, W) each, in (N,): equal values share their mean rank.

    NaN where a map of the pair is constant (an all-zero one among them) or not finite: it has no order.
    """
    first, second = (_ranks(np.asarray(maps, dtype=np.float64)) for maps in (a, b))
    product = (first * second).mean(1)
    spread = np.sqrt((first**2).mean(1) * (second**2).mean(1))
    correlation: Values = np.divide(product, spread, out=np.full(len(first), np.nan), where=spread > 0)
    return correlation


def _ranks(maps: Values) -> Values:
    """Return the mean ranks of each map's pixels less their mean, (N, pixels); zero for a map that is not finite."""
    flat = maps.reshape(len(maps), -1)
    ranks = np.zeros_like(flat)
    for row, values in enumerate(flat):
        if np.isfinite(values).all():
            _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
            ends = np.cumsum(counts)
            ranks[row] = (ends - (counts - 1) / 2)[where]
    centred: Values = ranks - ranks.mean(1, keepdims=True)
    return centred
