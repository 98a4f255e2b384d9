"""Means, intervals and paired tests agree with scipy and with counting by hand."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scs_study.analysis.statistics import MOST_SIGN_FLIPS, paired, permutation_test, sign_test, summarise

VALUES = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 6)), min_size=2, max_size=12)


@given(VALUES)
def test_summary_agrees_with_scipy(values):
    found = summarise(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert found.error == pytest.approx(np.std(values, ddof=1) / math.sqrt(len(values)), abs=1e-9)
    if found.deviation > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


@given(VALUES)
def test_the_order_of_seeds_does_not_change_a_bit(values):
    shuffled = random.Random(0).sample(values, len(values))
    assert summarise(shuffled) == summarise(values)


def test_one_value_has_a_mean_and_no_interval():
    one = summarise([0.75])
    assert (one.n, one.mean) == (1, 0.75)
    assert all(math.isnan(value) for value in (one.deviation, one.error, one.low, one.high))
    assert math.isnan(summarise([]).mean)


def test_the_deviation_is_the_samples():
    assert summarise([1.0, 3.0]).deviation == math.sqrt(2)  # the population's would be 1


def test_differences_are_paired_by_seed():
    found = paired({0: 0.5, 1: 0.7, 2: 0.9}, {2: 0.8, 1: 0.5, 7: 0.1})
    assert found.seeds == (1, 2)
    assert found.difference.mean == pytest.approx(0.15)
    reference = stats.ttest_rel([0.7, 0.9], [0.5, 0.8]).confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((reference.low, reference.high))


def test_no_common_seed_gives_no_difference():
    found = paired({0: 0.5}, {1: 0.5})
    assert found.difference.n == 0
    assert math.isnan(found.sign_p)
    assert math.isnan(found.permutation_p)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=10))
def test_sign_test_counts_tails_of_fair_coins(differences):
    signs = [value for value in differences if value]
    if not signs:
        assert math.isnan(sign_test(differences))
        return
    distance = abs(sum(value > 0 for value in signs) - len(signs) / 2)
    coins = itertools.product((0, 1), repeat=len(signs))
    share = sum(abs(sum(coin) - len(signs) / 2) >= distance for coin in coins) / 2 ** len(signs)
    assert sign_test(differences) == pytest.approx(share)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8))
def test_permutation_test_agrees_with_scipy(differences):
    signs = itertools.product((-1, 1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(sign, differences, strict=True))) for sign in signs]
    assert permutation_test(differences) == np.mean([value >= abs(sum(differences)) for value in sums])
    if len(differences) > 1:
        reference = stats.permutation_test(
            (np.array(differences, dtype=float),), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert permutation_test(differences) == pytest.approx(reference.pvalue)


def test_five_agreeing_seeds_cannot_be_significant_at_five_percent():
    assert permutation_test([0.1, 0.2, 0.3, 0.1, 0.2]) == 2 / 2**5
    assert sign_test([0.1, 0.2, 0.3, 0.1, 0.2]) == 2 / 2**5


def test_too_many_pairs_have_no_exact_value():
    assert math.isnan(permutation_test([1.0] * (MOST_SIGN_FLIPS + 1)))
    assert permutation_test([1.0] * MOST_SIGN_FLIPS) == 2 / 2**MOST_SIGN_FLIPS
