import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scs_study.analysis.sweep import threshold as module
from scs_study.analysis.sweep.threshold import answer, threshold
from tests.experiments.sweep.sweeps import row

GRID = [0.1, 0.178, 0.316, 0.562, 1.0, 1.78, 3.16, 5.62, 10.0]


def step(edge, low=0.3, high=0.8, noise=0.0, seeds=(0,)):
    """Trials on GRID that reach `high` from p = `edge` on and `low` below it."""
    rng = np.random.default_rng(1)
    return [
        row(p, (high if p >= edge else low) + noise * rng.standard_normal(), seed=seed) for p in GRID for seed in seeds
    ]


@pytest.fixture(autouse=True)
def _fewer_samples(monkeypatch):
    monkeypatch.setattr(module, "SAMPLES", 200)


@pytest.mark.parametrize("edge", GRID[1:])
def test_a_step_is_found_between_the_neighbours_that_it_separates(edge):
    found = threshold(step(edge), "p", margin=0.02)
    assert (found.bad, found.good) == (GRID[GRID.index(edge) - 1], edge)
    assert found.low <= found.bad < found.good <= found.high


def test_the_interval_holds_the_distance_between_neighbours_and_widens_with_noise():
    clear = threshold(step(1.0, seeds=(0, 1, 2)), "p", margin=0.02)
    noisy = threshold(step(1.0, low=0.76, noise=0.03, seeds=(0, 1, 2)), "p", margin=0.05)
    assert 0.316 <= clear.low <= 0.562 < 1.0 <= clear.high <= 1.78  # a neighbour more when a resampling lacks one
    assert math.log(noisy.high / max(noisy.low, 0.01)) > math.log(clear.high / clear.low)


def test_where_the_largest_p_falls_short_there_is_no_threshold():
    found = threshold([*step(1.0)[:-1], row(10.0, 0.2)], "p", margin=0.02)
    assert found.good == math.inf
    assert found.near == (1.0, 1.78, 3.16, 5.62)
    assert answer(found, "p").startswith("No: the largest p that was tried, 10, is not within 2 points")


def test_where_every_p_is_as_good_there_is_none_either():
    found = threshold(step(0.1), "p", margin=0.02)
    assert (found.bad, found.good) == (-math.inf, 0.1)
    assert answer(found, "p").startswith("No threshold in this range: every p that was tried, from 0.1 up")


def test_the_margin_is_what_as_good_means():
    rows = step(1.0, low=0.77, high=0.8)
    assert threshold(rows, "p", margin=0.05).bad == -math.inf
    assert threshold(rows, "p", margin=0.01).bad == 0.562


def test_a_dip_in_the_middle_is_not_as_good():
    rows = [*step(0.316), row(1.78, 0.5, seed=1)]  # the mean over its seeds falls short
    assert threshold(rows, "p", margin=0.02).good == 3.16


def test_a_pruned_trial_is_compared_at_the_epoch_it_was_given_up():
    whole = [row(p, 0.5, 0.6, 0.7, 0.8) for p in (1.0, 1.78, 3.16, 10.0)]
    rows = [row(0.1, 0.2, state="pruned"), row(0.316, 0.49, state="pruned"), *whole, row(5.62, 0.5, state="pruned")]
    found = threshold(rows, "p", margin=0.02)
    assert (found.bad, found.good) == (0.1, 0.316)  # 0.49 is near 0.5 after the same epoch, though far from 0.8
    assert found.pruned == 3


def test_a_diverged_trial_is_never_as_good_and_an_unfinished_one_says_nothing():
    rows = step(0.1)
    diverged = [*rows[:3], row(0.562, 0.8, state="diverged"), *rows[4:]]
    assert threshold(diverged, "p", margin=0.02).good == 1.0
    assert (
        threshold([*diverged[:3], *diverged[4:], row(0.562, 0.1, state="running")], "p", margin=0.02).bad == -math.inf
    )


def test_few_trials_and_trials_of_which_none_is_done_are_no_answer():
    assert threshold(step(1.0)[:4], "p", margin=0.02) is None
    assert threshold([row(p, 0.1, state="pruned") for p in GRID], "p", margin=0.02) is None
    assert threshold([], "p", margin=0.02) is None
    assert answer(None, "p").startswith("No answer yet")


@settings(max_examples=15)
@given(st.permutations(range(len(GRID))))
def test_the_order_of_the_trials_does_not_matter(order):
    rows = step(1.0, noise=0.01)
    ours, theirs = (threshold(each, "p", margin=0.03) for each in (rows, [rows[k] for k in order]))
    assert (ours.bad, ours.good, ours.best_p, ours.near) == (theirs.bad, theirs.good, theirs.best_p, theirs.near)


def test_the_same_trials_give_the_same_interval():
    rows = step(1.0, noise=0.01)
    assert threshold(rows, "p", margin=0.03) == threshold(rows, "p", margin=0.03)
    assert "the spread over seeds" not in answer(threshold(step(1.0, seeds=(0, 1)), "p", margin=0.02), "p")
    assert "do not contain the spread over seeds" in answer(threshold(rows, "p", margin=0.03), "p")
