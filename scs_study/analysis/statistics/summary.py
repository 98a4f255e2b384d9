"""Means over seeds with their uncertainty.

Sample statistics throughout (ddof 1): three seeds are a sample, not the population.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from scipy import special  # not scipy.stats, which takes a second to import

LEVEL = 0.95
FEWEST = 3
"""Values that an interval needs: of two, one degree of freedom is left, and a t interval is 12.7 errors wide."""


@dataclass(frozen=True)
class Summary:
    """n values: mean, sample standard deviation, standard error, two-sided 95 % t interval; NaN for too small n."""

    n: int
    mean: float
    deviation: float
    error: float
    low: float
    high: float


def summarise(values: Iterable[float]) -> Summary:
    """Return the Summary of `values`, exactly rounded, so that their order does not matter. NaN is a caller's error.

    The interval is a plain t interval from two values on: what is published goes through `interval` or `bounded`.
    """
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


def interval(
    values: Iterable[float], level: float = LEVEL, within: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """Return the t interval of the mean of `values`, cut to what can be; (NaN, NaN) below FEWEST values.

    within: the range of the quantity. To cut an interval there loses no coverage: the truth is not outside.
    """
    found = summarise(values)
    if found.n < FEWEST:
        return math.nan, math.nan
    half = float(special.stdtrit(found.n - 1, (1 + level) / 2)) * found.error
    return max(within[0], found.mean - half), min(within[1], found.mean + half)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return the two-sided 95 % Wilson interval of a share, such as an accuracy on n images; (0, 1) for n = 0."""
    assert 0 <= successes <= n
    if n == 0:
        return 0.0, 1.0
    z = float(special.ndtri((1 + LEVEL) / 2))
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding must not put a bound on the wrong side of what was counted.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
