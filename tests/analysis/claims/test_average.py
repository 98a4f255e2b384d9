"""A claim's estimate over several environments: its interval covers what it says, and stays in what can be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from scs_study.analysis.claims.average import average
from scs_study.analysis.claims.cells import environments
from scs_study.analysis.claims.judge import Part
from scs_study.analysis.claims.load import load_claims
from scs_study.analysis.claims.rules import Estimate, estimate, range_of
from scs_study.analysis.claims.schema import Test
from scs_study.analysis.statistics.counts import clopper_pearson
from tests.analysis.claims.planted_claims import judged, write

FILE = load_claims()
NONE = math.nan, math.nan


def rule_of(claim: int) -> Test:
    return FILE.claims[claim - 1].tests[0]


def parts(test: Test, found: Sequence[Estimate], seeds: Sequence[Sequence[int]] | None = None) -> list[Part]:
    place = environments(FILE, test)[0]
    each = seeds or [range(estimate.n) for estimate in found]
    return [
        Part(test, place, one, "yes", True, 800, "cpu", "float32", tuple(own), (0, 0), (), (), (), NONE)
        for one, own in zip(found, each, strict=True)
    ]


def of_seeds(test: Test, rows: Sequence[Sequence[float]]) -> list[Part]:
    return parts(test, [estimate(test, [float(v) for v in row], range_of(test)) for row in rows])


def dead(count: int, of: int) -> Estimate:
    low, high = clopper_pearson(count, of)
    values = (100.0,) * count + (0.0,) * (of - count)
    return Estimate(values, 100 * count / of, 100 * low, 100 * high, NONE, math.nan, math.nan)


def test_four_variants_against_one_convolution_know_no_more_of_it_than_its_seeds_tell() -> None:
    """Weight decay (31) and others compare several variants with the same runs, whose error is in all of them."""
    test, g = rule_of(31), np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        convolution = g.normal(0, 1, 6)
        _, low, high = average(of_seeds(test, g.normal(2, 1, (4, 6)) - convolution))
        covered += low <= 2 <= high
    assert 0.92 <= covered / 400 <= 0.98


def test_an_average_over_unequal_seeds_is_no_surer_than_its_environments() -> None:
    test = rule_of(31)
    one, two = (estimate(test, values, range_of(test)) for values in ([1.0, 2.0, 3.0], [2.0, 4.0, 3.0, 1.0]))
    mean, low, high = average(parts(test, [one, two], [(0, 1, 2), (0, 1, 2, 3)]))
    assert (mean, low, high) == pytest.approx(
        [(a + b) / 2 for a, b in ((one.mean, two.mean), (one.low, two.low), (one.high, two.high))]
    )


@pytest.mark.parametrize("alive", [0, 1, 48, 96])
def test_dead_seeds_are_counted_in_all_environments_together_and_stay_a_share(alive: int) -> None:
    counts = [6 - (k < alive % 16) - alive // 16 for k in range(16)]
    mean, low, high = average(parts(rule_of(29), [dead(count, 6) for count in counts]))
    assert mean == pytest.approx(100 * (96 - alive) / 96)
    assert 0 <= low <= mean <= high <= 100
    assert high - low > 3, "96 networks do not tell a share to a digit, all dead or not"


def test_an_average_of_accuracies_stays_below_all_of_them() -> None:
    test = rule_of(37)
    _, low, high = average(of_seeds(test, [[99.9, 99.0, 100.0], [99.8, 99.1, 99.9]]))
    assert low < high == 100


def test_the_average_of_change_points_keeps_a_width() -> None:
    found = [Estimate((at,) * 3, at, at - 0.3, at + 0.4, NONE, math.nan, math.nan) for at in (1.0, 0.8)]
    assert average(parts(rule_of(33), found)) == pytest.approx((0.9, 0.6, 1.3))


def test_what_is_measured_on_common_images_is_no_surer_for_several_networks() -> None:
    test = rule_of(20)
    found = [Estimate((1.0, 2.0, 3.0), 2.0, -4.0, 8.0, NONE, math.nan, math.nan)] * 4
    assert average(parts(test, found)) == pytest.approx((2.0, -4.0, 8.0))


def test_without_three_seeds_everywhere_there_is_a_mean_and_no_interval() -> None:
    test = rule_of(31)
    mean, low, high = average(of_seeds(test, [[1.0, 2.0, 3.0], [4.0]]))
    assert mean == 3.0
    assert math.isnan(low)
    assert math.isnan(high)
    assert all(map(math.isnan, average([])))


def test_published_of_a_claim_over_two_pools_against_the_same_runs(tmp_path: Path) -> None:
    """From run folders on: the runs of b vary by points, those of a by none, so the average varies as b does."""
    base = {0: 0.60, 1: 0.64, 2: 0.68, 3: 0.62, 4: 0.66, 5: 0.70}
    write(tmp_path, base, activation="none")
    for pooling in ("max", "maxabs"):
        write(tmp_path, dict.fromkeys(base, 0.75), pooling=pooling)
    test = {"across": {"a.pooling": ["max", "maxabs"]}}
    both, one = (judged(tmp_path, test={**test, **more}) for more in ({}, {"across": {}}))
    assert (both.mean, both.low, both.high) == pytest.approx((one.mean, one.low, one.high))
    assert dataclasses.astuple(both.parts[0].found)[1:4] == pytest.approx((one.mean, one.low, one.high))
