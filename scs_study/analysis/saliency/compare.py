"""What the maps of variants say beside each other: means over images, paired differences, bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scs_study.analysis.paper import BASELINE
from scs_study.analysis.saliency.estimates import Estimate, Values, bootstrap, mean_of
from scs_study.analysis.variants import Record
from scs_study.evaluation.saliency.evaluator import SaliencyData
from scs_study.evaluation.saliency.measures import MEASURES, NOT_FINITE, ZERO
from scs_study.evaluation.saliency.perturbation import area

GAINS = ("deletion", "insertion", "deletion_gain", "insertion_gain")
"""Areas under the curves, and what the map's order is better by than a random one: positive where the map is right."""
QUANTITIES = (*MEASURES, *GAINS)


@dataclass(frozen=True)
class SaliencyResult:
    """One run's part in a comparison: its record in a collected frame, and its data."""

    row: Record
    data: SaliencyData


@dataclass(frozen=True)
class VariantNumbers:
    """A variant's numbers. images: maps looked at, over all seeds; zero, not_finite: of them, those without measures.

    accuracy: the mean final test accuracy of the runs. values: the mean of each of QUANTITIES over the images;
    against: of the differences to the baseline on the same images and seeds, None where there is no baseline.
    correlation: the mean rank correlation with the trained network's maps after the head and after all layers were
    randomised, unordered: the share of maps that then had no order (all zero), and randomised_gini: the mean Gini index
    of those maps, which nobody trained; NaN where the check was left out.
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
    randomised_gini: float


def quantities(data: SaliencyData) -> dict[str, Values]:
    """Return each of QUANTITIES of one run, (images,) in the order of its numbers, NaN for images without one."""
    sound = {name: getattr(data.measures, name) for name in MEASURES}
    gains = {name: np.full(len(data.numbers), np.nan) for name in GAINS}
    if data.perturbed is not None:
        curves = data.perturbed
        count = len(curves.deletion)
        deletion, insertion = area(curves.deletion), area(curves.insertion)
        values = (
            deletion,
            insertion,
            area(curves.deletion_random) - deletion,
            insertion - area(curves.insertion_random),
        )
        for name, value in zip(GAINS, values, strict=True):
            gains[name][:count] = np.where(np.isnan(data.measures.gini[:count]), np.nan, value)
    return {**sound, **gains}


def variant_numbers(
    groups: Sequence[Sequence[SaliencyResult]], labels: Sequence[str], seed: int = 0
) -> tuple[VariantNumbers, ...]:
    """Return the numbers of each variant: `groups` holds the analysed runs of each, a run a seed, `labels` its words.

    Every difference is between runs of the same seed on the same image; per image it is the mean over the seeds.
    Raises AssertionError when the analyses are not of the same images.
    """
    assert len({result.data.numbers.tobytes() for group in groups for result in group}) <= 1
    baseline = by_seed(next((group for group in groups if is_variant(group[0].row, BASELINE)), ()))
    numbers = []
    for group, label in zip(groups, labels, strict=True):
        values = [quantities(result.data) for result in group]
        own = bootstrap(np.stack([mean_of([v[name] for v in values]) for name in QUANTITIES], axis=1), seed)
        paired = [(v, baseline[s.row["seed"]]) for v, s in zip(values, group, strict=True) if s.row["seed"] in baseline]
        against = None
        if paired and not is_variant(group[0].row, BASELINE):
            differences = [mean_of([v[name] - other[name] for v, other in paired]) for name in QUANTITIES]
            against = dict(zip(QUANTITIES, bootstrap(np.stack(differences, axis=1), seed), strict=True))
        states = np.concatenate([result.data.measures.state for result in group])
        head, whole, unordered, randomised_gini = _correlations(group)
        numbers.append(
            VariantNumbers(
                row=group[0].row,
                label=label,
                seeds=len(group),
                accuracy=float(np.mean([result.row["final_test_accuracy"] for result in group])),
                images=len(states),
                zero=int((states == ZERO).sum()),
                not_finite=int((states == NOT_FINITE).sum()),
                values=dict(zip(QUANTITIES, own, strict=True)),
                against=against,
                correlation=(head, whole),
                unordered=unordered,
                randomised_gini=randomised_gini,
            )
        )
    return tuple(numbers)


def by_seed(group: Sequence[SaliencyResult]) -> dict[int, dict[str, Values]]:
    return {result.row["seed"]: quantities(result.data) for result in group}


def _correlations(group: Sequence[SaliencyResult]) -> tuple[float, float, float, float]:
    """Return means over the runs: correlation after the head and after all layers, share of maps without an order then,
    and Gini index then."""
    found = [result.data.randomised for result in group if result.data.randomised is not None]
    if not found:
        return math.nan, math.nan, math.nan, math.nan
    head, whole = (np.concatenate([each.correlation[index] for each in found]) for index in (0, -1))
    gini = np.concatenate([each.gini for each in found])
    means = [float(np.nanmean(each)) if not np.isnan(each).all() else math.nan for each in (head, whole, gini)]
    return means[0], means[1], float(np.isnan(whole).mean()), means[2]


def is_variant(row: Record, variant: tuple[str, str, str]) -> bool:
    return (row["layer"], row["activation"], row["pooling"]) == variant
