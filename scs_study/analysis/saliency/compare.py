"""What the maps of variants say beside each other: means over images, paired differences, bootstrap intervals.

An interval resamples the test images. It says how sure we are of *these* networks, not of networks that start from
other weights: for that, look at several seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.variants import Record
from scs_study.evaluation.saliency.measures import MEASURES, NOT_FINITE, ZERO
from scs_study.evaluation.saliency.perturbation import area
from scs_study.evaluation.saliency.runs import Analysed

DRAWS = 2000
"""Bootstrap resamples."""
LEVEL = 0.95
BASELINE = ("conv", "relu", "max")
GAINS = ("deletion", "insertion", "deletion_gain", "insertion_gain")
"""Areas under the curves, and what the map's order is better by than a random one: positive where the map is right."""
QUANTITIES = (*MEASURES, *GAINS)
Values = NDArray[np.float64]
LAYER_WORDS = {"conv": "conv", "scs": "SCS", "sdp": "SharpenedSDP", "cosine": "cosine"}


@dataclass(frozen=True)
class Estimate:
    """A mean over `images` images with its 95 % bootstrap interval; NaN where there are none."""

    mean: float
    low: float
    high: float
    images: int


@dataclass(frozen=True)
class Seen:
    """One run's part in a comparison: its record in a collected frame, and its analysis."""

    row: Record
    found: Analysed


@dataclass(frozen=True)
class VariantNumbers:
    """A variant's numbers. images: maps looked at, over all seeds; zero, not_finite: of them, those without measures.

    accuracy: the mean final test accuracy of the runs. values: the mean of each of QUANTITIES over the images;
    against: of the differences to the baseline on the same images and seeds, None where there is no baseline.
    correlation: the mean rank correlation with the trained network's maps after the head and after all layers were
    drawn anew, unordered: the share of maps that then had no order (all zero), and redrawn_gini: the mean Gini index of
    those maps, which nobody trained; NaN where the check was left out.
    """

    row: Record
    label: str
    seeds: int
    accuracy: float
    images: int
    zero: int
    not_finite: int
    values: Mapping[str, Estimate]
    against: Mapping[str, Estimate] | None
    correlation: tuple[float, float]
    unordered: float
    redrawn_gini: float


@dataclass(frozen=True)
class Answer:
    """An answer to "is a sparser than b", by Gini index: over which pairs of variants, the difference a - b.

    pairs: of (variant of a, variant of b) in words, with the same activation and pooling, or b the baseline.
    """

    a: str
    b: str
    pairs: tuple[tuple[str, str, Estimate], ...]
    together: Estimate

    @property
    def verdict(self) -> str:
        """In words: yes or no where the interval over all pairs says so and no single pair says the opposite.

        One network in a bad state must not speak for its layer, so pairs that disagree are "mixed". A pair with a dead
        network is none.
        """
        pairs = [pair for _, _, pair in self.pairs if pair.images]
        more, less = sum(pair.low > 0 for pair in pairs), sum(pair.high < 0 for pair in pairs)
        if not pairs:
            return "no pair to compare"
        if more and less:
            return f"mixed: {more} of {len(pairs)} pairs sparser, {less} less sparse"
        if more and self.together.low > 0:
            return f"yes ({more} of {len(pairs)} pairs)"
        if less and self.together.high < 0:
            return f"no, less sparse ({less} of {len(pairs)} pairs)"
        return "undecided"


def bootstrap(columns: Values, seed: int = 0, draws: int = DRAWS) -> list[Estimate]:
    """The Estimate of each column of (images, K), from the same resamples; NaN entries are images without a value.

    Percentile intervals of the mean over the images that have a value.
    """
    assert columns.ndim == 2
    present = ~np.isnan(columns)
    values = np.where(present, columns, 0.0)
    images, generator = len(columns), np.random.default_rng(seed)
    means = np.empty((draws, columns.shape[1]))
    for first in range(0, draws, 100):  # the counts of all draws at once would be a hundred megabytes and more
        count = min(100, draws - first)
        counts = generator.multinomial(images, np.full(images, 1 / max(images, 1)), count).astype(np.float64)
        weight = counts @ present
        means[first : first + count] = np.divide(
            counts @ values, weight, out=np.full_like(weight, np.nan), where=weight > 0
        )
    estimates = []
    for column in range(columns.shape[1]):
        there = columns[present[:, column], column]
        drawn = means[~np.isnan(means[:, column]), column]
        if len(there):
            low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            estimates.append(Estimate(float(there.mean()), float(low), float(high), len(there)))
        else:
            estimates.append(Estimate(math.nan, math.nan, math.nan, 0))
    return estimates


def quantities(found: Analysed) -> dict[str, Values]:
    """Each of QUANTITIES of one run, (images,) in the order of its numbers, NaN for images without one."""
    sound = {name: getattr(found.measures, name) for name in MEASURES}
    gains = {name: np.full(len(found.numbers), np.nan) for name in GAINS}
    if found.perturbed is not None:
        curves = found.perturbed
        count = len(curves.deletion)
        deletion, insertion = area(curves.deletion), area(curves.insertion)
        values = (
            deletion,
            insertion,
            area(curves.deletion_random) - deletion,
            insertion - area(curves.insertion_random),
        )
        for name, value in zip(GAINS, values, strict=True):
            gains[name][:count] = np.where(np.isnan(found.measures.gini[:count]), np.nan, value)
    return {**sound, **gains}


def variant_numbers(
    groups: Sequence[Sequence[Seen]], labels: Sequence[str], seed: int = 0
) -> tuple[VariantNumbers, ...]:
    """The numbers of each variant: `groups` holds the analysed runs of each, a run a seed, `labels` its words.

    Every difference is between runs of the same seed on the same image; per image it is the mean over the seeds.
    Errors: AssertionError when the analyses are not of the same images.
    """
    assert len({seen.found.numbers.tobytes() for group in groups for seen in group}) <= 1
    baseline = _by_seed(next((group for group in groups if _is(group[0].row, BASELINE)), ()))
    result = []
    for group, label in zip(groups, labels, strict=True):
        values = [quantities(seen.found) for seen in group]
        own = bootstrap(np.stack([_mean([v[name] for v in values]) for name in QUANTITIES], axis=1), seed)
        paired = [(v, baseline[s.row["seed"]]) for v, s in zip(values, group, strict=True) if s.row["seed"] in baseline]
        against = None
        if paired and not _is(group[0].row, BASELINE):
            differences = [_mean([v[name] - other[name] for v, other in paired]) for name in QUANTITIES]
            against = dict(zip(QUANTITIES, bootstrap(np.stack(differences, axis=1), seed), strict=True))
        states = np.concatenate([seen.found.measures.state for seen in group])
        head, whole, unordered, redrawn_gini = _correlations(group)
        result.append(
            VariantNumbers(
                row=group[0].row,
                label=label,
                seeds=len(group),
                accuracy=float(np.mean([seen.row["final_test_accuracy"] for seen in group])),
                images=len(states),
                zero=int((states == ZERO).sum()),
                not_finite=int((states == NOT_FINITE).sum()),
                values=dict(zip(QUANTITIES, own, strict=True)),
                against=against,
                correlation=(head, whole),
                unordered=unordered,
                redrawn_gini=redrawn_gini,
            )
        )
    return tuple(result)


def answers(groups: Sequence[Sequence[Seen]], labels: Sequence[str], seed: int = 0) -> tuple[Answer, ...]:
    """Is SCS sparser than SharpenedSDP (same activation and pooling), and both than conv + relu + max? By Gini index.

    Only of comparisons that have a pair. Variants that differ by a further setting (a fixed p) are pairs of their own.
    """
    found = []
    named = list(zip(groups, labels, strict=True))
    for a, b in (("scs", "sdp"), ("scs", "conv"), ("sdp", "conv")):
        pairs = []
        for mine, words in named:
            for other, others in named:
                row, against = mine[0].row, other[0].row
                alike = (row["activation"], row["pooling"]) == (against["activation"], against["pooling"])
                if row["layer"] == a and against["layer"] == b and (_is(against, BASELINE) if b == "conv" else alike):
                    pairs.append((words, others, _differences(mine, other)))
        pairs = [pair for pair in pairs if pair[2] is not None]
        if pairs:
            columns = [column for _, _, column in pairs if column is not None]
            estimates = bootstrap(np.stack([*columns, _mean(columns)], axis=1), seed)
            single = tuple((w, o, e) for (w, o, _), e in zip(pairs, estimates[:-1], strict=True))
            found.append(Answer(LAYER_WORDS[a], LAYER_WORDS[b], single, estimates[-1]))
    return tuple(found)


def _differences(a: Sequence[Seen], b: Sequence[Seen]) -> Values | None:
    """The Gini index of a less that of b, per image, the mean over the seeds both have; None where they share none."""
    others = _by_seed(b)
    found = [s.found.measures.gini - others[s.row["seed"]]["gini"] for s in a if s.row["seed"] in others]
    return _mean(found) if found else None


def _by_seed(group: Sequence[Seen]) -> dict[int, dict[str, Values]]:
    return {seen.row["seed"]: quantities(seen.found) for seen in group}


def _mean(columns: Sequence[Values]) -> Values:
    """The means over the columns, of those that have a value, per image; NaN where none has."""
    stacked = np.stack(columns)
    count = (~np.isnan(stacked)).sum(0)
    mean: Values = np.divide(np.nansum(stacked, axis=0), count, out=np.full(stacked.shape[1], np.nan), where=count > 0)
    return mean


def _correlations(group: Sequence[Seen]) -> tuple[float, float, float, float]:
    """(after the head, after all layers, share of maps without an order then, Gini index then), means over the runs."""
    found = [seen.found.redrawn for seen in group if seen.found.redrawn is not None]
    if not found:
        return math.nan, math.nan, math.nan, math.nan
    head, whole = (np.concatenate([each.correlation[index] for each in found]) for index in (0, -1))
    gini = np.concatenate([each.gini for each in found])
    means = [float(np.nanmean(each)) if not np.isnan(each).all() else math.nan for each in (head, whole, gini)]
    return means[0], means[1], float(np.isnan(whole).mean()), means[2]


def _is(row: Record, variant: tuple[str, str, str]) -> bool:
    return (row["layer"], row["activation"], row["pooling"]) == variant
