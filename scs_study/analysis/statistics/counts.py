"""What is counted: dead seeds of a variant, and images on which two networks disagree."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as of_table

from scs_study.analysis.statistics.summary import LEVEL

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Disagreement:
    """Images of which only network a, or only network b, is right, and the exact two-sided p that both are as many."""

    only_a: int
    only_b: int
    p: float


def clopper_pearson(k: int, n: int) -> tuple[float, float]:
    """Return the exact two-sided 95 % interval of a share, k of n; (0, 1) for n = 0. It covers at least 95 %."""
    assert 0 <= k <= n
    if n == 0:
        return 0.0, 1.0
    found = stats.binomtest(k, n).proportion_ci(LEVEL, method="exact")
    return float(found.low), float(found.high)


def mcnemar(a: Flags, b: Flags) -> Disagreement:
    """Return on which images two networks disagree; a, b: whether each is right, bool (images,).

    It says something about these two networks only, however small p is; p is NaN where they never disagree.
    """
    assert a.shape == b.shape
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    if not only_a + only_b:
        return Disagreement(0, 0, math.nan)
    table = [[int((a & b).sum()), only_a], [only_b, int((~a & ~b).sum())]]
    return Disagreement(only_a, only_b, float(of_table(table, exact=True).pvalue))
