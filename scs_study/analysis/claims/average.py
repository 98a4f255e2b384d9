"""A claim's estimate: the average over the environments of its first test, with an interval that allows for what they
have in common: networks, initial weights, images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scs_study.analysis.claims.judge import Part
from scs_study.analysis.claims.rules import range_of
from scs_study.analysis.statistics.average import average_interval
from scs_study.analysis.statistics.counts import clopper_pearson


def average(parts: Sequence[Part]) -> tuple[float, float, float]:
    """Return (mean, low, high) of the average over environments; of one its own; NaN where one has no interval.

    Of dead networks k of n in all environments together. What is measured on images has the mean of the environments'
    ends, since the images are common to all; so has a change point, which is no mean of seeds.
    """
    if not parts:
        return math.nan, math.nan, math.nan
    test, found = parts[0].test, [part.found for part in parts]
    if len(parts) == 1:
        return found[0].mean, found[0].low, found[0].high
    mean, low, high = float(np.mean([each.mean for each in found])), math.nan, math.nan
    if any(math.isnan(each.low) for each in found):
        return mean, low, high
    if test.rule == "dead":
        flags = [flag > 0 for each in found for flag in each.values]
        low, high = (100 * end for end in clopper_pearson(sum(flags), len(flags)))
        return 100 * sum(flags) / len(flags), low, high
    by_seed = [dict(zip(part.seeds, part.found.values, strict=True)) for part in parts]
    alone = test.rule == "plateau" or test.metric.images
    low, high = average_interval([] if alone else by_seed, [(each.low, each.high) for each in found], range_of(test))
    return mean, low, high
