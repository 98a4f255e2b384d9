"""Differences paired by seed, and the exact tests of them: a sign, or a flip of signs, for every seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from scs_study.analysis.statistics.summary import Summary, summarise

MOST_SIGN_FLIPS = 16
"""Pairs up to which all 2**n assignments of signs are tried."""


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


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Paired:
    """Return the paired comparison of two variants, seed -> value each, over the seeds that both have."""
    seeds = tuple(sorted(a.keys() & b.keys()))
    differences = [a[seed] - b[seed] for seed in seeds]
    return Paired(seeds, summarise(differences), sign_test(differences), permutation_test(differences))


def sign_test(differences: Iterable[float]) -> float:
    """Return the exact two-sided p-value of the sign test, zeros left out; NaN where nothing is left."""
    data = [value for value in differences if value != 0]
    if not data:
        return math.nan
    positive = sum(value > 0 for value in data)
    # Two tails of a symmetric law; where they meet in the middle, the middle is counted once.
    return min(1.0, 2 * float(special.bdtr(min(positive, len(data) - positive), len(data), 0.5)))


def permutation_test(differences: Iterable[float]) -> float:
    """Return the exact two-sided p-value of the sign-flip test: the share of the 2**n signs with a mean as far from 0.

    NaN without differences and above MOST_SIGN_FLIPS of them.
    """
    data = np.array(list(differences), dtype=np.float64)
    if not 0 < data.size <= MOST_SIGN_FLIPS:
        return math.nan
    signs = 1 - 2 * ((np.arange(2**data.size)[:, None] >> np.arange(data.size)) & 1)
    sums = np.abs(signs @ data)
    # Sums that are equal on paper may differ in the last bit, depending on their order.
    return float(np.mean(sums >= sums[0] * (1 - 1e-12)))
