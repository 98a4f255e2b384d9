"""What a network keeps under attack, less what conv + ReLU + MaxPool keeps of the same images: by seed, over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.paper import BASELINE
from scs_study.analysis.robustness.results import AttackResult
from scs_study.analysis.seeds import baseline_of
from scs_study.analysis.statistics import summarise
from scs_study.analysis.statistics.bootstrap import two_level_interval
from scs_study.analysis.statistics.counts import mcnemar
from scs_study.analysis.statistics.summary import LEVEL, interval
from scs_study.analysis.variants import Record
from scs_study.evaluation.robustness.masking import Flags
from scs_study.evaluation.robustness.settings import Robustness

Measure = Literal["pgd", "worst"]
"""Right after PGD, and after all attacks."""
POINTS = (-100.0, 100.0)


@dataclass(frozen=True)
class Against:
    """A difference in points on the same images. low, high: 95 % interval, NaN where there is none.

    p: McNemar's, of two networks; NaN over seeds. n: seeds.
    """

    mean: float
    low: float
    high: float
    p: float
    n: int


@dataclass(frozen=True)
class OverSeeds:
    """A variant under attack at a radius: rows of its seeds, what each keeps in %, and its Against (None: no pair)."""

    rows: tuple[Record, ...]
    eps: float
    kept: tuple[float, ...]
    against: Against | None


def baseline(run: AttackResult, runs: Sequence[AttackResult]) -> AttackResult | None:
    """Return the result of conv + ReLU + MaxPool of a run's network, data, recipe, start and seed; None without one."""
    usual = [each for each in runs if tuple(each.row[key] for key in ("layer", "activation", "pooling")) == BASELINE]
    found = baseline_of([run.row], [[each.row] for each in usual], ("init", "seed"))
    return None if found is None else next(each for each in usual if each.row is found[0])


def against(
    run: AttackResult, other: AttackResult, settings: Robustness, eps: float, measure: Measure
) -> Against | None:
    """Return the difference of two networks, its interval over the images; None where one was not attacked so far.

    It says how sure we are of these two networks, and nothing of their layers.
    """
    ours, theirs = _kept(run, settings, eps, measure), _kept(other, settings, eps, measure)
    if ours is None or theirs is None or len(ours) != len(theirs):
        return None
    each = _points(ours, theirs)
    low, high = interval(each, within=POINTS) if each.any() else (math.nan, math.nan)
    return Against(float(each.mean()), low, high, mcnemar(ours, theirs).p, 1)


def over_seeds(groups: Sequence[Sequence[AttackResult]], settings: Robustness, measure: Measure) -> list[OverSeeds]:
    """Return each variant at each radius of the additional attacks, by seeds. groups: the runs of each variant."""
    every = [run for group in groups for run in group]
    found = []
    for group in groups:
        usual = [baseline(run, every) for run in group]
        for eps in settings.check_eps:
            kept, pairs, rows = [], [], []
            for run, other in zip(group, usual, strict=True):
                ours = _kept(run, settings, eps, measure)
                theirs = None if other is None else _kept(other, settings, eps, measure)
                if ours is None:
                    continue
                rows.append(run.row)
                kept.append(100 * float(ours.mean()))
                if theirs is not None and other is not run and len(theirs) == len(ours):
                    pairs.append(_points(ours, theirs))
            if rows:
                found.append(OverSeeds(tuple(rows), eps, tuple(kept), _paired(pairs)))
    return found


def _paired(pairs: Sequence[NDArray[np.float64]]) -> Against | None:
    """The mean over seeds; its interval is the wider one of the seeds' t interval and the two-level bootstrap."""
    if not pairs or len({len(each) for each in pairs}) > 1:
        return None
    means = [float(each.mean()) for each in pairs]
    low, high = interval(means, within=POINTS)
    ((least, most),) = two_level_interval(np.stack(pairs), [LEVEL])
    return Against(summarise(means).mean, min(low, least), max(high, most), math.nan, len(means))


def _kept(run: AttackResult, settings: Robustness, eps: float, measure: Measure) -> Flags | None:
    survivors, robust = run.right_after(settings, eps)
    return survivors if measure == "pgd" else robust


def _points(ours: Flags, theirs: Flags) -> NDArray[np.float64]:
    return 100 * (ours.astype(np.float64) - theirs.astype(np.float64))
