"""The interval of an average over environments that share networks, or the initial weights of a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from scs_study.analysis.statistics.summary import interval

Bounds = tuple[float, float]


def average_interval(
    by_seed: Sequence[Mapping[int, float]], ends: Sequence[Bounds], within: Bounds = (-math.inf, math.inf)
) -> Bounds:
    """Return the 95 % interval of the average over environments, cut to what can be.

    by_seed: of every environment the seeds' values, ends: its own interval. Where all have the same seeds, a seed's
    average over them is one value of a t interval, so whatever environments share is in its variance. Where they have
    not, or by_seed is empty, the ends are averaged: an average errs by no more than the average of the errors.
    """
    seeds = [set(each) for each in by_seed]
    if seeds and all(each == seeds[0] for each in seeds):
        return interval([float(np.mean([each[seed] for each in by_seed])) for seed in sorted(seeds[0])], within=within)
    low, high = (float(np.mean([each[k] for each in ends])) for k in (0, 1))
    return low, high
