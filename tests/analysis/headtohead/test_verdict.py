"""The verdict of a head-to-head: what it says of known differences, and how often it is wrong when there is none."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from scs_study.analysis.headtohead.verdict import DECIDES, Comparison, Shares, compare

IMAGES = 400


def nets(accuracy: float, seeds: int, rng: np.random.Generator, spread: float = 0.01) -> dict[int, Shares]:
    """How right networks are on images, independently of each other."""
    return {
        seed: (rng.random(IMAGES) < accuracy + spread * rng.standard_normal()).astype(np.float64)
        for seed in range(seeds)
    }


def shifted(base: dict[int, Shares], wrong: int) -> dict[int, Shares]:
    """The same networks, wrong on so many images more, other ones for every seed."""
    result = {}
    for seed, right in base.items():
        changed = right.copy()
        where = np.flatnonzero(right)[seed * wrong : (seed + 1) * wrong]
        changed[where] = 0
        result[seed] = changed
    return result


def one(a: dict[int, Shares], b: dict[int, Shares], delta: float = 1.0) -> Comparison:
    (found,) = compare(("conv", b), [("scs", a)], 0.1, delta)
    return found


def test_a_large_difference_is_found_in_its_direction() -> None:
    rng = np.random.default_rng(0)
    good, bad = nets(0.9, 6, rng), nets(0.7, 6, rng)
    assert one(good, bad).outcome == "better"
    assert one(bad, good).outcome == "worse"
    assert one(good, bad).decided
    assert one(good, bad).found.mean == pytest.approx(-one(bad, good).found.mean)


def test_the_same_networks_are_equal_and_a_constant_small_loss_is_a_loss() -> None:
    base = nets(0.8, 6, np.random.default_rng(1))
    assert one(base, base).outcome == "equal"
    assert one(base, base).p == 1
    worse = one(shifted(base, 8), base)  # two points, in every seed
    assert worse.outcome == "worse"
    assert worse.found.mean == pytest.approx(-2.0)


def test_what_matters_is_the_caller_s_to_say() -> None:
    base = nets(0.8, 8, np.random.default_rng(2), spread=0)
    slightly = {seed: right.copy() for seed, right in base.items()}
    for seed, right in slightly.items():  # as many images gained as lost
        right[np.flatnonzero(right == 1)[seed]] = 0
        right[np.flatnonzero(right == 0)[seed]] = 1
    assert one(slightly, base, delta=5.0).outcome == "equal"


@pytest.mark.parametrize("seeds", range(1, DECIDES))
def test_too_few_seeds_never_decide(seeds: int) -> None:
    rng = np.random.default_rng(3)
    found = one(nets(0.9, seeds, rng), nets(0.5, seeds, rng))
    assert not found.decided
    assert found.outcome == "better"
    assert math.isnan(found.found.low) == (seeds < 3)


def test_where_nothing_is_different_seldom_anything_is_found() -> None:
    rng = np.random.default_rng(4)
    outcomes = [one(nets(0.8, 6, rng), nets(0.8, 6, rng)).outcome for _ in range(60)]
    assert sum(outcome in ("better", "worse") for outcome in outcomes) <= 7  # 5 % of 60, and three deviations


def test_few_test_images_widen_the_interval_beyond_the_seeds_own() -> None:
    rng = np.random.default_rng(5)
    kept = np.array([1.0] * 11 + [0.0] * 9)
    a, b = ({seed: kept if name == "a" else rng.permutation(kept) for seed in range(6)} for name in "ab")
    found = one(a, b)
    assert np.ptp(found.first) == 0  # all seeds have the same accuracy
    assert found.found.low < -1 < 1 < found.found.high
    assert found.outcome == "undecided"


def test_of_many_challengers_chance_winners_are_fewer() -> None:
    rng = np.random.default_rng(6)
    base = nets(0.8, 6, rng)
    many = compare(("conv", base), [(f"net {k}", nets(0.8, 6, rng)) for k in range(12)], 0.1, 1.0)
    assert all(found.p_holm >= found.p for found in many)
    assert not any(found.outcome in ("better", "worse") for found in many)


def test_only_common_seeds_are_compared_and_the_dead_are_counted() -> None:
    rng = np.random.default_rng(7)
    base = nets(0.8, 6, rng)
    other = {seed: np.full(IMAGES, 0.1) for seed in (1, 2, 3, 9)}
    found = one(other, base)
    assert found.seeds == (1, 2, 3)
    assert found.dead == (3, 0)
    assert f"no better than chance: 3 of {found.a}, 0 of {found.b}" in found.sentence()
    assert "chance" not in dataclasses.replace(found, dead=(0, 0)).sentence()
    assert compare(("conv", base), [("scs", {9: np.ones(IMAGES)})], 0.1, 1.0) == []
