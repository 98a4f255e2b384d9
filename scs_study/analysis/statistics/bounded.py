"""Intervals of a variant's mean share (accuracy, robust accuracy) that never leave [0, 1].

Means and errors are taken on the logit scale and carried back, and the SD is pooled over a table's live variants:
three seeds say little about their own spread (a t interval of two degrees of freedom is 4.3 errors wide), ten variants
of three seeds together say enough. Pooling takes the spread of logits to be the same in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from scs_study.analysis.statistics.summary import FEWEST, LEVEL

CLOSEST = 1e-4
"""How near to 0 or 1 a share may come, so that its logit is finite: one image of ten thousand."""


@dataclass(frozen=True)
class Share:
    """A variant's mean share over its seeds and its 95 % interval; NaN below FEWEST seeds.

    deviation: of its own seeds (n - 1), NaN for one. values: the seeds' own, which is all that one or two have to say.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float
    low: float
    high: float


def shares(variants: Sequence[Sequence[float]]) -> list[Share]:
    """Return a Share for each of a table's live variants, whose seeds' values are shares in [0, 1].

    Without dead seeds: a network at chance is another state, counted apart (counts.clopper_pearson).
    """
    assert all(0 <= value <= 1 for values in variants for value in values)
    logits = [_logit(values) for values in variants]
    freedom = sum(max(0, len(each) - 1) for each in logits)
    squares = sum(float(((each - each.mean()) ** 2).sum()) for each in logits if len(each))
    pooled = math.sqrt(squares / freedom) if freedom else math.nan
    return [_share(values, each, pooled, freedom) for values, each in zip(variants, logits, strict=True)]


def _share(values: Sequence[float], logits: NDArray[np.float64], pooled: float, freedom: int) -> Share:
    n = len(values)
    mean = math.fsum(values) / n if n else math.nan
    deviation = float(np.std(values, ddof=1)) if n > 1 else math.nan
    low = high = math.nan
    if n >= FEWEST:
        middle = float(logits.mean())
        half = float(special.stdtrit(freedom, (1 + LEVEL) / 2)) * pooled / math.sqrt(n)
        # The mean of shares is not quite the share of the mean logit; an interval that left it out would look wrong.
        low = min(mean, float(special.expit(middle - half)))
        high = max(mean, float(special.expit(middle + half)))
    return Share(tuple(values), mean, deviation, low, high)


def _logit(values: Sequence[float]) -> NDArray[np.float64]:
    return np.asarray(special.logit(np.clip(np.array(values, dtype=np.float64), CLOSEST, 1 - CLOSEST)))
