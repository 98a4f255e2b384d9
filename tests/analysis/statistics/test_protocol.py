"""Intervals stay inside what they measure, two seeds have none, and tests agree with the definitions they come from."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from scs_study.analysis.statistics.bootstrap import two_level_interval, two_level_means
from scs_study.analysis.statistics.bounded import shares
from scs_study.analysis.statistics.counts import clopper_pearson, mcnemar
from scs_study.analysis.statistics.hypotheses import ALPHA, above_p, below_p, equivalence_p, holm, several_p
from scs_study.analysis.statistics.summary import interval
from scs_study.analysis.statistics.trends import block_means, change_point, mann_kendall

SHARE = st.floats(0, 1)
DIFFERENCES = st.lists(st.integers(-300, 300).map(lambda k: k / 100), min_size=3, max_size=10)


@given(st.lists(st.lists(SHARE, min_size=1, max_size=5), min_size=1, max_size=6))
def test_no_interval_of_a_share_leaves_0_to_1_or_its_mean(variants):
    for values, found in zip(variants, shares(variants), strict=True):
        if len(values) < 3:
            assert math.isnan(found.low)
            assert math.isnan(found.high)
        else:
            assert 0 <= found.low <= found.mean + 1e-12
            assert found.mean - 1e-12 <= found.high <= 1


def test_the_spread_is_pooled_over_variants():
    noisy, alone = [0.7, 0.8, 0.9], [0.80, 0.80, 0.81]
    by_itself, together = shares([alone])[0], shares([alone, noisy])[0]
    assert together.high - together.low > 3 * (by_itself.high - by_itself.low)


def test_an_interval_is_cut_to_what_can_be():
    assert interval([0.1, 0.8, 0.1], within=(0, 1)) == (0, 1)
    assert all(map(math.isnan, interval([0.1, 0.8])))


@given(DIFFERENCES, st.sampled_from([-1.0, 0.0, 1.0]))
def test_p_is_significant_exactly_where_the_interval_is_beyond_the_margin(differences, margin):
    low, high = interval(differences)
    if abs(low - margin) > 1e-9 and abs(high - margin) > 1e-9:
        assert (above_p(differences, margin) <= ALPHA) == (low > margin)
        assert (below_p(differences, margin) <= ALPHA) == (high < margin)


@given(DIFFERENCES)
def test_equivalence_is_the_90_percent_interval_inside(differences):
    low, high = interval(differences, 0.90)
    if min(abs(low + 1), abs(high - 1)) > 1e-9:
        assert (equivalence_p(differences, -1, 1) <= ALPHA) == (low > -1 and high < 1)


def test_two_seeds_have_no_p():
    assert math.isnan(above_p([1.0, 2.0], 0))
    assert math.isnan(equivalence_p([0.0, 0.1], -1, 1))


def test_equal_differences_are_certain():
    assert above_p([1.0, 1.0, 1.0], 0) == 0
    assert above_p([0.0, 0.0, 0.0], 0) == 1
    assert equivalence_p([0.0, 0.0, 0.0], -1, 1) == 0


def test_holm_by_hand_and_a_claim_without_p_counts_as_a_test():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    found = holm([0.01, math.nan])
    assert found[0] == pytest.approx(0.02)
    assert math.isnan(found[1])
    assert holm([]) == []


@pytest.mark.parametrize("p_values", [[0.01, 0.2, 0.03, 0.03, 0.9], [0.5], [0.04, 0.001, 1.0, 0.0]])
def test_holm_agrees_with_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_several_of_many():
    p = [0.001, 0.01, 0.02, 0.03, 0.9]
    assert several_p(p, 5) == 0.9
    assert several_p(p, 4) == pytest.approx(2 * 0.03)
    assert several_p(p, 1) == pytest.approx(5 * 0.001)
    assert math.isnan(several_p([*p, math.nan], 1))


@pytest.mark.parametrize(("k", "n"), [(0, 6), (1, 6), (6, 6), (2, 3)])
def test_clopper_pearson_is_where_a_tail_holds_2_5_percent(k, n):
    low, high = clopper_pearson(k, n)
    assert low == 0 if k == 0 else stats.binom.sf(k - 1, n, low) == pytest.approx(0.025)
    assert high == 1 if k == n else stats.binom.cdf(k, n, high) == pytest.approx(0.025)


def test_mcnemar_counts_disagreements_alone():
    a = np.array([True] * 900 + [True] * 9 + [False] * 1)
    b = np.array([True] * 900 + [False] * 9 + [True] * 1)
    found = mcnemar(a, b)
    assert (found.only_a, found.only_b) == (9, 1)
    assert found.p == pytest.approx(stats.binomtest(1, 10).pvalue)
    assert math.isnan(mcnemar(a, a).p)


def test_the_bootstrap_resamples_seeds_and_not_only_images():
    seeds = np.array([0.0, 1.0, 2.0, 3.0])
    means = two_level_means(np.repeat(seeds[:, None], 50, axis=1), draws=4000)
    drawn = {float(np.mean(chosen)) for chosen in itertools.product(seeds, repeat=4)}
    assert set(np.unique(means).round(12)) <= {round(value, 12) for value in drawn}
    assert np.std(means) == pytest.approx(np.std(seeds) / 2, rel=0.1)


def test_the_bootstrap_takes_one_sample_of_images_for_all_seeds():
    # Seeds agree on every image: then only the images' noise is left, and more seeds do not make it smaller.
    images = np.random.default_rng(0).normal(size=100)
    spread = [np.std(two_level_means(np.repeat(images[None], n, axis=0))) for n in (3, 30)]
    assert spread == pytest.approx([np.std(images) / 10] * 2, rel=0.1)


def test_an_image_without_a_value_is_left_out():
    values = np.array([[1.0, np.nan], [1.0, 1.0], [1.0, 1.0]])
    assert two_level_interval(values, [0.95]) == [(1.0, 1.0)]
    assert all(map(math.isnan, two_level_interval(values[:2], [0.95])[0]))


def test_mann_kendall_agrees_with_counting_pairs():
    series = [3.0, 1.0, 2.0, 2.5, 4.0, 3.5]
    ups = sum(np.sign(b - a) for a, b in itertools.combinations(series, 2))
    assert mann_kendall(series).tau == pytest.approx(ups / 15)
    assert math.isnan(mann_kendall([1.0, 1.0, 1.0]).tau)
    assert block_means(range(7), 2).tolist() == [0.5, 2.5, 4.5]


def test_a_change_point_is_found_where_it_was_put():
    x = np.log([0.25, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0, 8.0])
    draw = np.random.default_rng(0)
    curves = {s: (80 - 20 * np.maximum(0, 0 - x) + draw.normal(0, 0.3, len(x))).tolist() for s in range(4)}
    found = change_point(curves, x.tolist())
    assert found.low <= found.at <= found.high
    assert abs(found.at) < 0.15
    assert found.plateau == pytest.approx(80, abs=0.5)
    assert found.slope == pytest.approx(20, rel=0.1)


def test_a_curve_that_never_rises_is_all_plateau():
    found = change_point({0: [5.0, 4.0, 3.0, 2.0]}, [0.0, 1.0, 2.0, 3.0])
    assert (found.at, found.slope) == (0.0, 0.0)
    assert math.isnan(found.low)
