"""What the paper says of saliency maps (4.4, 5.2), asked of ours: what resembles what first, what is sparser second.

The paper says that maps of SharpenedSDP resemble those of SCS more than a convolution's do. It does not say that SCS is
sparser than SharpenedSDP; the Gini index is our number for its "more focused than a convolution's".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scs_study.analysis.paper import BASELINE
from scs_study.analysis.saliency.compare import SaliencyResult, is_variant
from scs_study.analysis.saliency.estimates import LEVEL, Estimate, Values, bootstrap, mean_of
from scs_study.analysis.statistics.bootstrap import two_level_interval
from scs_study.evaluation.saliency.measures import spearman

LEAST_SEEDS = 6
"""Seeds below which no question is answered: those of a layer differ by more than the images' error."""
LAYER_WORDS = {"conv": "conv", "scs": "SCS", "sdp": "SharpenedSDP", "cosine": "cosine"}
SPARSITY = (("scs", "conv"), ("sdp", "conv"), ("scs", "sdp"))
Named = Sequence[tuple[Sequence[SaliencyResult], str]]
"""The results of each variant, a run a seed, and its words."""
BySeed = Mapping[int, Values]
"""By seed: one number an image."""


@dataclass(frozen=True)
class Pair:
    """Two numbers an image that are compared: their means over images and seeds, and that of their difference."""

    label: str
    first: float
    second: float
    difference: Estimate


@dataclass(frozen=True)
class Answer:
    """An answer to "is the first number larger than the second", over pairs of variants.

    kind: "resemblance" (rank correlations of maps) or "sparsity" (Gini indices). seeds: that all pairs have.
    interval: of the mean difference, from a bootstrap over seeds and then images; NaN below three seeds. confounded:
    whether SCS and SharpenedSDP start from different p in all of its pairs.
    """

    kind: str
    question: str
    pairs: tuple[Pair, ...]
    together: Pair
    seeds: int
    interval: tuple[float, float]
    confounded: bool = False

    @property
    def verdict(self) -> str:
        """In words: yes or no where the interval over seeds and images says so and no single pair the opposite.

        One network in a bad state must not speak for its layer, so pairs that disagree are "mixed". A pair with a dead
        network is none.
        """
        pairs = [pair.difference for pair in self.pairs if pair.difference.images]
        more, less = sum(pair.low > 0 for pair in pairs), sum(pair.high < 0 for pair in pairs)
        if not pairs:
            return "no pair to compare"
        if self.confounded:
            return "undecided: p starts elsewhere in SCS than in SharpenedSDP"
        if self.seeds < LEAST_SEEDS:
            return f"undecided: {self.seeds} of {LEAST_SEEDS} seeds"
        if more and less:
            return f"mixed: more in {more} of {len(pairs)} pairs, less in {less}"
        if more and self.interval[0] > 0:
            return f"yes ({more} of {len(pairs)} pairs)"
        if less and self.interval[1] < 0:
            return f"no, less ({less} of {len(pairs)} pairs)"
        return "undecided"


@dataclass(frozen=True)
class Pairing:
    """Two variants' numbers, and whether the exponents of SCS and SharpenedSDP in it start from the same place."""

    label: str
    a: BySeed
    b: BySeed
    equal: bool


def answers(groups: Sequence[Sequence[SaliencyResult]], labels: Sequence[str], seed: int = 0) -> tuple[Answer, ...]:
    """Return the answers to the questions of which there are pairs: resemblance first, then sparsity.

    groups: the results of each variant, a run a seed; labels: its words. Variants that differ by a further setting (a
    fixed p) are pairs of their own.
    """
    named = list(zip(groups, labels, strict=True))
    found = [_resemblance(named, seed), *(_sparsity(named, a, b, seed) for a, b in SPARSITY)]
    return tuple(answer for answer in found if answer is not None)


def _resemblance(named: Named, seed: int) -> Answer | None:
    """Return the answer to: are SharpenedSDP's maps more like SCS's than a convolution's are?

    Each SCS variant beside the SharpenedSDP of the same activation and pooling and the convolution with ReLU of the
    same pooling, or the baseline where there is none.
    """
    pairs: list[Pairing] = []
    for scs, words in (each for each in named if each[0][0].row["layer"] == "scs"):
        row = scs[0].row
        convs = [conv for conv, _ in named if is_variant(conv[0].row, ("conv", "relu", row["pooling"]))]
        convs = convs or [conv for conv, _ in named if is_variant(conv[0].row, BASELINE)]
        for sdp, others in (each for each in named if _alike(each[0][0].row, row, "sdp")):
            if convs:
                label = f"{words}: {others}, {_words(convs[0])}"
                pairs.append(Pairing(label, _like(scs, sdp), _like(scs, convs[0]), _from_one_start(sdp[0].row, row)))
    question = "maps of SharpenedSDP resemble those of SCS more than a convolution's do"
    return _answer("resemblance", question, pairs, seed)


def _sparsity(named: Named, a: str, b: str, seed: int) -> Answer | None:
    """Return the answer to: are maps of layer `a` sparser than those of `b` (at equal settings, or the baseline)?"""
    pairs: list[Pairing] = []
    for mine, words in named:
        for other, others in named:
            row, against = mine[0].row, other[0].row
            fits = is_variant(against, BASELINE) if b == "conv" else _alike(against, row, b)
            if row["layer"] == a and fits:
                equal = b == "conv" or _from_one_start(row, against)
                pairs.append(Pairing(f"{words}, {others}", _gini(mine), _gini(other), equal))
    return _answer("sparsity", f"{LAYER_WORDS[a]} is sparser than {LAYER_WORDS[b]}", pairs, seed)


def _answer(kind: str, question: str, found: Sequence[Pairing], seed: int) -> Answer | None:
    known = [each for each in found if each.a.keys() & each.b.keys()]
    if not known:
        return None
    equal = [each for each in known if each.equal]
    pairs = [(each.label, each.a, each.b) for each in equal or known]
    differences = [{s: a[s] - b[s] for s in sorted(a.keys() & b.keys())} for _, a, b in pairs]
    columns = [mean_of(list(each.values())) for each in differences]
    estimates = bootstrap(np.stack([*columns, mean_of(columns)], axis=1), seed)
    built = [
        Pair(label, _mean(a, each), _mean(b, each), estimate)
        for (label, a, b), each, estimate in zip(pairs, differences, estimates[:-1], strict=True)
    ]
    together = Pair("all", _known_mean([p.first for p in built]), _known_mean([p.second for p in built]), estimates[-1])
    seeds = sorted(set.intersection(*(set(each) for each in differences)))
    means = [mean_of([each[s] for each in differences]) for s in seeds]
    interval = two_level_interval(np.stack(means), [LEVEL])[0] if seeds else (np.nan, np.nan)
    return Answer(kind, question, tuple(built), together, len(seeds), interval, not equal)


def _like(a: Sequence[SaliencyResult], b: Sequence[SaliencyResult]) -> dict[int, Values]:
    """Return the rank correlations of two variants' maps image by image, of the seeds whose maps are cached."""
    others = {result.row["seed"]: result.data.maps for result in b}
    found = {}
    for result in a:
        mine, other = result.data.maps, others.get(result.row["seed"])
        if mine is not None and other is not None:
            found[result.row["seed"]] = spearman(mine, other)
    return found


def _gini(group: Sequence[SaliencyResult]) -> dict[int, Values]:
    return {result.row["seed"]: result.data.measures.gini for result in group}


def _alike(row: Mapping[str, object], other: Mapping[str, object], layer: str) -> bool:
    return row["layer"] == layer and all(row[key] == other[key] for key in ("activation", "pooling"))


def _from_one_start(row: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether p starts alike in both: the start alone moves the Gini index as much as the layer does."""
    return all(row.get(key) == other.get(key) for key in ("layer.p", "layer.p_init"))


def _words(group: Sequence[SaliencyResult]) -> str:
    return " ".join(str(group[0].row[key]) for key in ("layer", "activation", "pooling"))


def _mean(values: BySeed, differences: BySeed) -> float:
    """Return the mean of the values that enter the differences."""
    return _known_mean(np.concatenate([values[s][~np.isnan(each)] for s, each in differences.items()]))


def _known_mean(values: Sequence[float] | Values) -> float:
    there = np.asarray(values, dtype=np.float64)
    there = there[~np.isnan(there)]
    return float(there.mean()) if len(there) else float("nan")
