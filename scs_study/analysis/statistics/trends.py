"""Does a series go one way (Mann-Kendall), and where does a curve over p stop rising (a change point)?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from scs_study.analysis.statistics.summary import FEWEST, LEVEL

CANDIDATES = 101
"""Places at which a change point is looked for, evenly between the least and the greatest x."""
DRAWS = 1000
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Trend:
    """Kendall's tau between a series and time: 1 where it never falls, -1 where it never rises; two-sided p.

    p takes the values to be independent. Those of a network's training are not, so claims go by tau of means over
    blocks, and p is for series that are independent. NaN for fewer than three values or a constant series.
    """

    tau: float
    p: float
    n: int


def mann_kendall(series: ArrayLike) -> Trend:
    """Return the Mann-Kendall trend of a series (n,), equal values counted as neither up nor down."""
    values = np.asarray(series, dtype=np.float64)
    if len(values) < FEWEST or np.ptp(values) == 0:
        return Trend(math.nan, math.nan, len(values))
    found = stats.kendalltau(np.arange(len(values)), values)
    return Trend(float(found.statistic), float(found.pvalue), len(values))


def block_means(series: ArrayLike, size: int) -> Values:
    """Return the means over consecutive blocks of `size` along the first axis; what is left at the end is dropped.

    A series shorter than one block has none.
    """
    values = np.asarray(series, dtype=np.float64)
    blocks = len(values) // size
    means: Values = values[: blocks * size].reshape(blocks, size, *values.shape[1:]).mean(1)
    return means


@dataclass(frozen=True)
class ChangePoint:
    """Where a rising curve becomes a plateau: y = plateau - slope * max(0, at - x), slope >= 0.

    at: in x. low, high: 95 % interval over resampled seeds, NaN below FEWEST of them.
    """

    at: float
    plateau: float
    slope: float
    low: float
    high: float


def change_point(curves: Mapping[int, Sequence[float]], x: Sequence[float], seed: int = 0) -> ChangePoint:
    """Return the change point of curves over the same x, one a seed (seed -> y at each x), fitted to their mean.

    Least squares over all places; the interval resamples whole curves, since the points of a seed belong together.
    """
    places = np.asarray(x, dtype=np.float64)
    assert len(places) >= 4
    assert np.all(np.diff(places) > 0)
    values = np.array([curves[key] for key in sorted(curves)], dtype=np.float64)
    assert values.shape == (len(curves), len(places))
    (at,), (plateau,), (slope,) = _fit(places, values.mean(0, keepdims=True))
    low = high = math.nan
    if len(values) >= FEWEST:
        chosen = np.random.default_rng(seed).integers(0, len(values), (DRAWS, len(values)))
        found, _, _ = _fit(places, values[chosen].mean(1))
        low, high = (float(bound) for bound in np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return ChangePoint(float(at), float(plateau), float(slope), low, high)


def _fit(x: Values, curves: Values) -> tuple[Values, Values, Values]:
    """The best (at, plateau, slope) of each of `curves` (K, points): least squares for every candidate, then the least.

    Of two candidates that fit equally well the first: from where on the curve is flat.
    """
    at = np.linspace(x[0], x[-1], CANDIDATES)
    hinge = np.maximum(0.0, at[:, None] - x)  # (candidates, points)
    centred = hinge - hinge.mean(1, keepdims=True)
    spread = (centred**2).sum(1)
    rising = np.divide(-(curves @ centred.T), spread, out=np.zeros((len(curves), len(at))), where=spread > 0)
    slope = np.maximum(0.0, rising)  # a falling line is no rise: then the plateau is everywhere
    plateau = curves.mean(1, keepdims=True) + slope * hinge.mean(1)
    misfit = ((curves[:, None, :] - (plateau[:, :, None] - slope[:, :, None] * hinge)) ** 2).sum(2)
    best = np.argmin(np.round(misfit, 12), axis=1)
    rows = np.arange(len(curves))
    return at[best], plateau[rows, best], slope[rows, best]
