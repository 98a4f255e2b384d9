"""Paired differences, intervals and answers, and the golden tables of made-up analyses."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scs_study.analysis.saliency.answers import LEAST_SEEDS, Answer, answers
from scs_study.analysis.saliency.compare import QUANTITIES, SaliencyResult, variant_numbers
from scs_study.analysis.saliency.estimates import bootstrap
from scs_study.analysis.saliency.table import write_tables
from scs_study.evaluation.saliency.evaluator import SaliencyData
from scs_study.evaluation.saliency.measures import MEASURES, SOUND, ZERO, Measures
from scs_study.evaluation.saliency.perturbation import CURVES, Perturbed
from scs_study.evaluation.saliency.randomisation import Randomised
from scs_study.evaluation.saliency.settings import MapSettings, SaliencySettings

GOLDEN = Path(__file__).parent / "golden"
SETTINGS = SaliencySettings(MapSettings(), 40, 0.05, 20, 4, 10, 0, 0.7, False, None, "map")


def seen(
    layer: str, activation: str, pooling: str, gini: float, seed: int = 0, dead: int = 0, noise: float = 0
) -> SaliencyResult:
    """An analysis of 40 images, the first `dead` of them with all-zero maps; all from one generator a variant."""
    draw = np.random.default_rng([len(layer), len(pooling), seed])
    common = np.random.default_rng(9).normal(0, 0.1, 40)  # images differ in the same way for all networks
    values = {name: gini + common + noise * draw.normal(0, 0.1, 40) for name in MEASURES}
    state = np.where(np.arange(40) < dead, ZERO, SOUND)
    for value in values.values():
        value[:dead] = np.nan
    curves = {name: np.tile(np.linspace(0.9, 0.1, 5), (20, 1)) * (1.2 if "random" in name else 1) for name in CURVES}
    randomised = Randomised(("head", "conv1"), np.array([[0.8] * 10, [0.25] * 9 + [math.nan]]), np.full(10, 0.5))
    row: dict[str, Any] = {"run": f"{layer}-{activation}-{pooling}-s{seed}", "architecture": "rohrer25k", "seed": seed}
    row |= {"layer": layer, "activation": activation, "pooling": pooling, "final_test_accuracy": 0.75}
    found = SaliencyData(np.arange(40), Measures(state, **values), np.ones(40, bool), Perturbed(**curves), randomised)
    return SaliencyResult(row, found)


def labels(groups: list[list[SaliencyResult]]) -> list[str]:
    return [" ".join(group[0].row[key] for key in ("layer", "activation", "pooling")) for group in groups]


GROUPS = [
    [seen("conv", "relu", "max", 0.50)],
    [seen("scs", "none", "maxabs", 0.60, noise=0.2)],
    [seen("scs", "relu", "max", 0.52, noise=0.2)],
    [seen("sdp", "none", "maxabs", 0.55, dead=4, noise=0.2)],
    [seen("sdp", "relu", "max", 0.51, dead=40)],
]


def test_intervals_hold_the_mean_of_a_known_law_as_often_as_they_say() -> None:
    draw = np.random.default_rng(3)
    found = bootstrap(draw.normal(2.0, 1.0, (100, 400)), draws=400)
    share = np.mean([estimate.low <= 2.0 <= estimate.high for estimate in found])
    assert 0.90 < share < 0.98


def test_images_without_a_value_do_not_count() -> None:
    column = np.array([1.0, 2.0, 3.0, math.nan, math.nan])
    one, none = bootstrap(np.stack([column, np.full(5, math.nan)], axis=1))
    assert (one.mean, one.images) == (2.0, 3)
    assert 1.0 <= one.low < 2.0 < one.high <= 3.0
    assert none.images == 0
    assert all(math.isnan(value) for value in (none.mean, none.low, none.high))


def test_differences_are_of_the_same_images() -> None:
    """What images have in common goes: paired, a difference of 0.1 is exact though images differ by far more."""
    groups = [[seen("conv", "relu", "max", 0.5)], [seen("scs", "none", "max", 0.6)]]
    base, other = variant_numbers(groups, labels(groups))
    assert base.against is None
    assert other.against is not None
    difference = other.against["gini"]
    assert (difference.mean, difference.low, difference.high) == pytest.approx((0.1, 0.1, 0.1))
    assert other.values["gini"].high - other.values["gini"].low > 0.02


def test_pairs_have_the_same_seed() -> None:
    groups = [
        [seen("conv", "relu", "max", 0.5, seed=0), seen("conv", "relu", "max", 0.1, seed=1)],
        [seen("scs", "none", "max", 0.6, seed=0), seen("scs", "none", "max", 0.3, seed=1)],
        [seen("sdp", "none", "max", 0.6, seed=7)],
    ]
    _, scs, sdp = variant_numbers(groups, labels(groups))
    assert scs.against is not None
    assert scs.against["gini"].mean == pytest.approx((0.1 + 0.2) / 2)
    assert (scs.seeds, scs.images) == (2, 80)
    assert sdp.against is None


def test_without_the_baseline_nothing_is_compared_with_it() -> None:
    found = variant_numbers(GROUPS[1:], labels(GROUPS[1:]))
    assert all(v.against is None for v in found)
    assert [a.question for a in answers(GROUPS[1:], labels(GROUPS[1:]))] == ["SCS is sparser than SharpenedSDP"]


def test_dead_maps_are_counted_and_leave_the_means_alone() -> None:
    found = dict(zip(labels(GROUPS), variant_numbers(GROUPS, labels(GROUPS)), strict=True))
    partly, dead = found["sdp none maxabs"], found["sdp relu max"]
    assert (partly.zero, partly.images, partly.values["gini"].images) == (4, 40, 36)
    assert partly.values["deletion"].images == 16
    assert dead.zero == 40
    assert all(dead.values[name].images == 0 for name in QUANTITIES)
    assert partly.unordered == pytest.approx(0.1)


def several(layer: str, activation: str, pooling: str, gini: float, **more: float) -> list[SaliencyResult]:
    """As many seeds as an answer needs."""
    return [seen(layer, activation, pooling, gini, seed=seed, **more) for seed in range(LEAST_SEEDS)]  # type: ignore[arg-type]


def answer(question: str, *groups: list[SaliencyResult]) -> Answer:
    (found,) = (each for each in answers(groups, labels([*groups])) if each.question == question)
    return found


def test_sparsity_is_answered_pair_by_pair_and_together_when_there_are_enough_seeds() -> None:
    conv, sdp = several("conv", "relu", "max", 0.5), several("sdp", "none", "maxabs", 0.55, noise=0.2)
    scs = several("scs", "none", "maxabs", 0.6, noise=0.2), several("scs", "relu", "max", 0.52, noise=0.02)
    dead = several("sdp", "relu", "max", 0.51, dead=40)
    beside_sdp = answer("SCS is sparser than SharpenedSDP", *scs, sdp, dead)
    assert [pair.label for pair in beside_sdp.pairs] == [
        "scs none maxabs, sdp none maxabs",
        "scs relu max, sdp relu max",
    ]
    assert beside_sdp.pairs[1].difference.images == 0, "all maps of that network are zero"
    beside_conv = answer("SCS is sparser than conv", *scs, conv)
    assert beside_conv.together.difference.mean == pytest.approx((0.1 + 0.02) / 2, abs=0.02)
    assert beside_conv.together.first - beside_conv.together.second == pytest.approx(0.06, abs=0.02)
    assert beside_conv.verdict == "yes (2 of 2 pairs)"
    dense = several("conv", "relu", "max", 0.7)
    assert answer("SCS is sparser than conv", *scs, dense).verdict == "no, less (2 of 2 pairs)"
    sparse = several("sdp", "relu", "max", 0.9)
    mixed = answer("SCS is sparser than SharpenedSDP", *scs, sdp, sparse)
    assert mixed.verdict == "mixed: more in 1 of 2 pairs, less in 1"
    alike = several("conv", "relu", "max", 0.5, noise=1), several("scs", "none", "max", 0.5, noise=1)
    assert answer("SCS is sparser than conv", *alike).verdict == "undecided"


def test_a_few_seeds_decide_nothing_whatever_their_images_say() -> None:
    found = answer("SCS is sparser than conv", several("conv", "relu", "max", 0.5)[:3], GROUPS[1])
    assert found.together.difference.low > 0
    assert found.verdict == f"undecided: 1 of {LEAST_SEEDS} seeds"


def with_maps(result: SaliencyResult, share: float) -> SaliencyResult:
    """The result with maps that have `share` of a common part and are else their own."""
    seed, layer = result.row["seed"], sum(map(ord, result.row["layer"]))
    common = np.random.default_rng([1, seed]).random((40, 8, 8))
    own = np.random.default_rng([2, seed, layer]).random((40, 8, 8))
    maps = (share * common + (1 - share) * own).astype(np.float16)
    return dataclasses.replace(result, data=dataclasses.replace(result.data, maps=maps))


def test_what_the_paper_says_is_asked_first() -> None:
    """Maps of SharpenedSDP resemble those of SCS more than a convolution's do."""
    shares = {("scs", "none"): 0.7, ("sdp", "none"): 0.6, ("conv", "relu"): 0.3}
    plain = [several(*which, "max", 0.5) for which in shares]
    groups = [[with_maps(r, share) for r in group] for group, share in zip(plain, shares.values(), strict=True)]
    first = answers(groups, labels(groups))[0]
    assert first.kind == "resemblance"
    assert [pair.label for pair in first.pairs] == ["scs none max: sdp none max, conv relu max"]
    assert first.together.first > first.together.second > 0
    assert first.verdict == "yes (1 of 1 pairs)"
    turned = [groups[0], [with_maps(result, 0.1) for result in groups[1]], groups[2]]
    assert answers(turned, labels(turned))[0].verdict == "no, less (1 of 1 pairs)"
    assert all(each.kind == "sparsity" for each in answers(plain, labels(plain))), "no maps are cached"


def test_scs_and_sharpened_sdp_are_compared_where_p_starts_alike_and_else_nothing_is_answered() -> None:
    def start(group: list[SaliencyResult], *p: float) -> list[SaliencyResult]:
        return [SaliencyResult({**result.row, "layer.p": None, "layer.p_init": p}, result.data) for result in group]

    wide, one = (start(several("scs", "none", "max", gini), *p) for gini, p in ((0.7, (1.0, 3.0)), (0.5, (1.0, 1.0))))
    sdp = start(several("sdp", "none", "max", 0.6), 1.0, 1.0)
    question = "SCS is sparser than SharpenedSDP"
    confounded = answer(question, wide, sdp)
    assert confounded.verdict == "undecided: p starts elsewhere in SCS than in SharpenedSDP"
    assert confounded.together.difference.mean == pytest.approx(0.1, abs=0.02), "the difference is shown all the same"
    equal = answer(question, wide, one, sdp)
    assert len(equal.pairs) == 1
    assert equal.verdict == "no, less (1 of 1 pairs)"


NUMBER = r"\d+\.\d+(?:e-?\d+)?"


def test_the_golden_tables(tmp_path: Path) -> None:
    words = labels(GROUPS)
    shares = (0.3, 0.7, 0.7, 0.6, 0.6)
    groups = [[with_maps(result, share) for result in group] for group, share in zip(GROUPS, shares, strict=True)]
    found = variant_numbers(groups, words), answers(groups, words)
    note = "1 of 6 runs are not finished and left out."
    paths = write_tables(*found, SETTINGS, "rohrer25k on made-up images", [note], tmp_path, "saliency")
    assert len(paths) == 9
    for path in paths:
        ours, expected = numbers_apart(path.read_text()), numbers_apart((GOLDEN / path.name).read_text())
        assert ours[0] == expected[0], f"if the change is meant, cp {path} {GOLDEN}/"
        assert ours[1] == pytest.approx(expected[1], rel=1e-12), f"if the change is meant, cp {path} {GOLDEN}/"


def numbers_apart(text: str) -> tuple[list[str], list[float]]:
    """The text without its numbers, and these: their last bits are another processor's."""
    return re.split(NUMBER, text), [float(number) for number in re.findall(NUMBER, text)]
