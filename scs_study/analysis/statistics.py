"""Means over seeds and differences paired by seed, with their uncertainty.

Sample statistics throughout (ddof 1): three seeds are a sample, not the population.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special  # not scipy.stats, which takes a second to import

LEVEL = 0.95
MOST_SIGN_FLIPS = 16
"""Pairs up to which all 2**n assignments of signs are tried."""


@dataclass(frozen=True)
class Summary:
    """n values: mean, sample standard deviation, standard error, two-sided 95 % t interval; NaN for too small n."""

    n: int
    mean: float
    deviation: float
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """Differences a - b over the seeds that both have.

    sign_p: exact two-sided sign test (ties left out). permutation_p: exact two-sided sign-flip test of the mean
    difference, NaN above MOST_SIGN_FLIPS pairs. Neither can fall below 2 / 2**n: five seeds cannot give p < 0.0625.
    """

    seeds: tuple[int, ...]
    difference: Summary
    sign_p: float
    permutation_p: float


def summarise(values: Iterable[float]) -> Summary:
    """The Summary of `values`. Exactly rounded, so the order of the values does not matter. NaN is a caller's error."""
    data = [float(value) for value in values]
    assert not any(math.isnan(value) for value in data)
    n = len(data)
    if n == 0:
        return Summary(0, math.nan, math.nan, math.nan, math.nan, math.nan)
    mean = statistics.mean(data)
    if n == 1:
        return Summary(1, mean, math.nan, math.nan, math.nan, math.nan)
    deviation = statistics.stdev(data)
    error = deviation / math.sqrt(n)
    half = float(special.stdtrit(n - 1, (1 + LEVEL) / 2)) * error
    return Summary(n, mean, deviation, error, mean - half, mean + half)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The two-sided 95 % Wilson interval of a share, such as an accuracy on n images; (0, 1) for n = 0."""
    assert 0 <= successes <= n
    if n == 0:
        return 0.0, 1.0
    z = float(special.ndtri((1 + LEVEL) / 2))
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding must not put a bound on the wrong side of what was counted.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Paired:
    """The paired comparison of two variants, seed -> value each; seeds that only one of them has are left out."""
    seeds = tuple(sorted(a.keys() & b.keys()))
    differences = [a[seed] - b[seed] for seed in seeds]
    return Paired(seeds, summarise(differences), sign_test(differences), permutation_test(differences))


def sign_test(differences: Iterable[float]) -> float:
    """The exact two-sided p-value of the sign test, zeros left out; NaN where nothing is left."""
    data = [value for value in differences if value != 0]
    if not data:
        return math.nan
    positive = sum(value > 0 for value in data)
    # Two tails of a symmetric law; where they meet in the middle, the middle is counted once.
    return min(1.0, 2 * float(special.bdtr(min(positive, len(data) - positive), len(data), 0.5)))


def permutation_test(differences: Iterable[float]) -> float:
    """The exact two-sided p-value of the sign-flip test: the share of the 2**n signs with a mean as far from 0.

    NaN without differences and above MOST_SIGN_FLIPS of them.
    """
    data = np.array(list(differences), dtype=np.float64)
    if not 0 < data.size <= MOST_SIGN_FLIPS:
        return math.nan
    signs = 1 - 2 * ((np.arange(2**data.size)[:, None] >> np.arange(data.size)) & 1)
    sums = np.abs(signs @ data)
    # Sums that are equal on paper may differ in the last bit, depending on their order.
    return float(np.mean(sums >= sums[0] * (1 - 1e-12)))
