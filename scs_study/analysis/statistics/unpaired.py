"""Differences of two sides that have no seed in common: Welch's t interval, which lets the two spread differently."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from scs_study.analysis.statistics.summary import FEWEST, LEVEL


@dataclass(frozen=True)
class Unpaired:
    """Mean of a less mean of b, its 95 % interval and two-sided p, NaN where a side has fewer than FEWEST values."""

    mean: float
    low: float
    high: float
    p: float


def unpaired(a: Sequence[float], b: Sequence[float], within: tuple[float, float] = (-math.inf, math.inf)) -> Unpaired:
    """Return the difference of two independent samples; its mean is NaN where one is empty.

    within: the range of the difference, which the interval is cut to.
    """
    if not len(a) or not len(b):
        return Unpaired(math.nan, math.nan, math.nan, math.nan)
    mean = math.fsum(a) / len(a) - math.fsum(b) / len(b)
    if min(len(a), len(b)) < FEWEST:
        return Unpaired(mean, math.nan, math.nan, math.nan)
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        return Unpaired(mean, mean, mean, float(mean == 0))
    found = stats.ttest_ind(a, b, equal_var=False)
    bounds = found.confidence_interval(LEVEL)
    return Unpaired(mean, max(within[0], float(bounds.low)), min(within[1], float(bounds.high)), float(found.pvalue))
