"""An estimate and a rule give a finding: yes, no or undecided (protocol 6).

Below three seeds there is no interval. A finding then takes what would matter (delta) for one on both sides: that is a
lean and never a decision, since the gate asks for more seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from scs_study.analysis.claims.schema import MOSTLY, Test
from scs_study.analysis.statistics import permutation_test, summarise
from scs_study.analysis.statistics.bootstrap import two_level_interval
from scs_study.analysis.statistics.hypotheses import above_p, below_p, equivalence_p, several_p
from scs_study.analysis.statistics.summary import FEWEST, LEVEL, interval

Finding = Literal["yes", "no", "undecided"]
LEVEL_OF_EQUIVALENCE = 0.90
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """What a comparison gives. values: the difference (or a's own value) of each seed.

    low, high: 95 % interval, inner: the 90 % one, both NaN below three seeds; the wider of the t interval and, where
    the metric is of images, the two-level bootstrap. p: of the rule; flip_p: exact two-sided sign-flip test against 0.
    """

    values: tuple[float, ...]
    mean: float
    low: float
    high: float
    inner: Bounds
    p: float
    flip_p: float
    notes: tuple[str, ...] = field(default=())

    @property
    def n(self) -> int:
        """The number of seeds."""
        return len(self.values)


NOTHING = Estimate((), math.nan, math.nan, math.nan, (math.nan, math.nan), math.nan, math.nan)


def estimate(
    test: Test, values: Sequence[float], within: Bounds, images: np.ndarray | None = None, notes: Sequence[str] = ()
) -> Estimate:
    """Return the Estimate of the seeds' values. within: what a value can be; images: (seeds, images) differences."""
    summary = summarise(values)
    low, high = interval(values, LEVEL, within)
    inner = interval(values, LEVEL_OF_EQUIVALENCE, within)
    if images is not None and len(images) >= FEWEST:
        outer, middle = two_level_interval(images, (LEVEL, LEVEL_OF_EQUIVALENCE))
        low, high = min(low, outer[0]), max(high, outer[1])
        inner = min(inner[0], middle[0]), max(inner[1], middle[1])
    return Estimate(
        tuple(float(v) for v in values), summary.mean, low, high, inner, _p(test, values), permutation_test(values),
        tuple(notes),
    )  # fmt: skip


def finding(test: Test, found: Estimate) -> Finding:
    """Return what an estimate says by the rule of its test."""
    assert found.n
    low, high, inner = found.low, found.high, found.inner
    if math.isnan(low):
        delta = test.delta if not math.isnan(test.delta) else 0.0
        low, high = found.mean - delta, found.mean + delta
        inner = found.mean - delta / 2, found.mean + delta / 2
    if test.rule == "equivalent":
        least, most = test.bounds
        yes, no = least < inner[0] and inner[1] < most, high < least or low > most
    elif test.rule in ("at_most", "slope"):
        limit = ceiling(test)
        yes, no = high < limit, low > limit
    else:
        limit = threshold(test)
        # A superiority that delta makes too small to matter is one all the same: so the first is asked first.
        yes, no = low > limit, high < (test.delta if test.rule == "superior" else limit)
    return "yes" if yes else "no" if no else "undecided"


def threshold(test: Test) -> float:
    """Return what the interval must be above, for the rules that ask for that."""
    return {"superior": 0.0, "superior_by": test.delta, "noninferior": -test.delta, "at_least": test.bound}[test.rule]


def ceiling(test: Test) -> float:
    """Return what the interval must be below, for the rules that ask for that."""
    return test.bound if test.rule == "at_most" else 0.0


def range_of(test: Test) -> Bounds:
    """Return what an estimate of a test can be: the least and the greatest sum of a less that of b."""
    low, high = test.metric.lowest, test.metric.highest
    a, b = (len(side) // (2 if test.metric.pair else 1) for side in (test.a, test.b))
    if math.isinf(low) or math.isinf(high):
        return (-math.inf if b or math.isinf(low) else a * low), math.inf
    return a * low - b * high, a * high - b * low


def _p(test: Test, values: Sequence[float]) -> float:
    if test.rule == "equivalent":
        return equivalence_p(values, *test.bounds)
    if test.rule in ("at_most", "slope"):
        return below_p(values, ceiling(test))
    return above_p(values, threshold(test))


def least(overall: str, environments: int) -> int:
    """Return in how many environments a claim must hold."""
    return {"always": environments, "mostly": math.ceil(MOSTLY * environments - 1e-9), "some": 1}[overall]


def together(overall: str, findings: Sequence[Finding | None]) -> Finding | None:
    """Return the finding over all environments; None where those that are not known (None) could still turn it."""
    assert findings
    known = [each for each in findings if each is not None]
    against = sum(each == "no" for each in known)
    if overall == "some":
        if "yes" in known:
            return "yes"
        if len(known) < len(findings):
            return None
        return "no" if against == len(known) else "undecided"
    if against:
        return "no"
    if len(known) < len(findings):
        return None
    return "yes" if sum(each == "yes" for each in known) >= least(overall, len(findings)) else "undecided"


def p_together(overall: str, p_values: Sequence[float]) -> float:
    """Return the p-value that a claim holds in as many environments as it says."""
    return several_p(p_values, least(overall, len(p_values)))
