"""p-values: against a margin, of equivalence, of several among many, and of a family of claims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from scs_study.analysis.statistics.summary import FEWEST

ALPHA = 0.05
ROUNDING = 1e-12
"""Of the largest value, up to which two are the same."""


def above_p(differences: Sequence[float], margin: float) -> float:
    """Return the p-value of "the mean is above `margin`", at most ALPHA exactly where the 95 % t interval is above it.

    Twice the one-sided t test's, so that a claim is held to the interval that is printed. NaN below FEWEST values.
    Where all values are equal (but for rounding): 0 above the margin, else 1.
    """
    if len(differences) < FEWEST:
        return math.nan
    if _equal(differences):
        return 0.0 if min(differences) > margin else 1.0
    return min(1.0, 2 * float(stats.ttest_1samp(differences, margin, alternative="greater").pvalue))


def below_p(differences: Sequence[float], margin: float) -> float:
    """Return the p-value of "the mean is below `margin`": as `above_p`, from the other side."""
    return above_p([-value for value in differences], -margin)


def equivalence_p(differences: Sequence[float], low: float, high: float) -> float:
    """Return the p-value of two one-sided t tests that the mean is above `low` and below `high`; NaN below FEWEST.

    At most ALPHA exactly where the 90 % t interval lies inside (Schuirmann 1987).
    """
    assert low < high
    if len(differences) < FEWEST:
        return math.nan
    if _equal(differences):
        return 0.0 if low < min(differences) and max(differences) < high else 1.0
    return float(DescrStatsW(np.asarray(differences, dtype=np.float64)).ttost_mean(low, high)[0])


def _equal(values: Sequence[float]) -> bool:
    """Whether values differ in their last bits at most: then they have no variance that a test could divide by."""
    return bool(np.ptp(values) <= ROUNDING * np.max(np.abs(values)))


def several_p(p_values: Sequence[float], least: int) -> float:
    """Return the p-value of "at least `least` of these hold" (partial conjunction, Bonferroni's form).

    All of them: the largest p, without a correction (intersection-union test). One of them: the smallest, times their
    number (Benjamini and Heller 2008). NaN where one of the p-values is, since then nobody knows.
    """
    many = len(p_values)
    assert 1 <= least <= many
    if any(math.isnan(p) for p in p_values):
        return math.nan
    return min(1.0, (many - least + 1) * sorted(p_values)[least - 1])


def holm(p_values: Iterable[float]) -> list[float]:
    """Return the p-values adjusted by Holm's method, in their order. A NaN stays NaN but counts as a test.

    A claim that is not decided yet will be, and the others must not look better until then.
    """
    given = np.array(list(p_values), dtype=np.float64)
    # By hand: statsmodels' multipletests collects garbage at every call, which takes longer than all the rest here.
    order = np.argsort(np.nan_to_num(given, nan=1.0), kind="stable")
    raised = np.nan_to_num(given, nan=1.0)[order] * np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raised))
    return [math.nan if math.isnan(p) else float(a) for p, a in zip(given, adjusted, strict=True)]
