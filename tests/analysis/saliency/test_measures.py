"""The measures against their definitions in plain Python, and against maps of which everybody knows the answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from scs_study.evaluation.saliency.measures import MEASURES, NOT_FINITE, SOUND, ZERO, measure, spearman

DRAW = np.random.default_rng(0)


def test_a_single_pixel_is_as_sparse_as_can_be() -> None:
    maps = np.zeros((1, 10, 10))
    maps[0, 4, 4] = 3.0
    found = measure(maps)
    assert found.gini[0] == pytest.approx(1 - 1 / 100)
    assert found.entropy[0] == pytest.approx(0, abs=1e-12)
    assert found.top_mass[0] == 1
    assert found.total_variation[0] == 4


def test_an_even_map_is_as_spread_as_can_be() -> None:
    found = measure(np.full((1, 10, 10), 0.2))
    assert found.gini[0] == pytest.approx(0, abs=1e-12)
    assert found.entropy[0] == pytest.approx(1)
    assert found.top_mass[0] == pytest.approx(0.05)
    assert found.total_variation[0] == 0


def test_measures_are_their_definitions() -> None:
    maps = DRAW.exponential(size=(5, 7, 9)) ** 2
    found = measure(maps, top=0.1)
    for index, one in enumerate(maps):
        values = one.ravel().tolist()
        total, count = sum(values), len(values)
        apart = sum(abs(a - b) for a in values for b in values)
        assert found.gini[index] == pytest.approx(apart / (2 * count * total))
        shares = [value / total for value in values]
        assert found.entropy[index] == pytest.approx(-sum(s * math.log(s) for s in shares) / math.log(count))
        assert found.top_mass[index] == pytest.approx(sum(sorted(shares)[-6:]))
        steps = sum(abs(one[r, c] - one[r + 1, c]) for r in range(6) for c in range(9))
        steps += sum(abs(one[r, c] - one[r, c + 1]) for r in range(7) for c in range(8))
        assert found.total_variation[index] == pytest.approx(steps / total)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e300])
def test_the_scale_of_a_map_does_not_count(scale: float) -> None:
    maps = DRAW.random((3, 6, 6))
    for name in MEASURES:
        assert getattr(measure(maps * scale), name) == pytest.approx(getattr(measure(maps), name))


def test_dead_and_overflowed_maps_are_counted_and_not_measured() -> None:
    maps = DRAW.random((4, 5, 5))
    maps[1] = 0
    maps[2, 0, 0] = np.nan
    maps[3, 1, 1] = np.inf
    found = measure(maps)
    assert found.state.tolist() == [SOUND, ZERO, NOT_FINITE, NOT_FINITE]
    for name in MEASURES:
        assert np.isnan(getattr(found, name)).tolist() == [False, True, True, True]


def test_rank_correlations_are_scipys_ties_and_all() -> None:
    a, b = DRAW.integers(0, 6, (4, 5, 5)).astype(float), DRAW.random((4, 5, 5))
    expected = [stats.spearmanr(one.ravel(), other.ravel())[0] for one, other in zip(a, b, strict=True)]
    assert spearman(a, b) == pytest.approx(expected)
    assert spearman(b, b**3) == pytest.approx(1)


def test_a_map_without_order_has_no_rank_correlation() -> None:
    a = DRAW.random((2, 5, 5))
    assert np.isnan(spearman(a, np.zeros((2, 5, 5)))).all()
    a[0, 0, 0] = np.nan
    assert np.isnan(spearman(a, DRAW.random((2, 5, 5)))).tolist() == [True, False]
