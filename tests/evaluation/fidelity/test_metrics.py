"""Distances and manifolds of features against plain float64 references, and what they say of known distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from scs_study.evaluation.fidelity.metrics import covered, kernel_distances, measure
from scs_study.training.objectives.frechet import Moments, frechet_distance

Array = NDArray[np.float64]


def normal(seed: int, count: int, size: int, mean: float = 0.0, width: float = 1.0) -> Array:
    return mean + width * np.random.default_rng(seed).standard_normal((count, size))


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_frechet_distance_is_that_of_a_general_matrix_root(seed: int, size: int) -> None:
    mixed = [normal(seed + k, 40, size, k) @ normal(seed + 7 + k, size, size) for k in (0, 1)]
    a, b = (Moments.of(each) for each in mixed)
    root = sqrtm(a.covariance @ b.covariance).real
    plain = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(plain, rel=1e-5, abs=1e-5)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6, abs=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6 * np.trace(a.covariance))


def test_of_laws_with_a_known_distance_it_is_that() -> None:
    a = Moments(np.array([0.0, 1.0]), np.diag([4.0, 0.0]))  # singular: one feature is always the same
    b = Moments(np.array([3.0, 1.0]), np.diag([1.0, 9.0]))
    assert frechet_distance(a, b) == pytest.approx(3**2 + (2 - 1) ** 2 + (0 - 3) ** 2)


def test_sums_give_the_moments_of_the_vectors() -> None:
    x = normal(0, 50, 3, 100.0)
    direct, summed = Moments.of(x), Moments.of_sums(50, x.sum(0), x.T @ x)
    assert np.allclose(direct.mean, summed.mean)
    assert np.allclose(direct.covariance, np.cov(x.T))
    assert np.allclose(direct.covariance, summed.covariance, atol=1e-8)


def test_the_kernel_distance_of_a_whole_set_is_that_of_its_definition() -> None:
    x, y = normal(0, 12, 4), normal(1, 12, 4, 0.5)

    def k(a: Array, b: Array) -> float:
        return float((a @ b / 4 + 1) ** 3)

    pairs = [(i, j) for i in range(12) for j in range(12)]
    within = sum(k(z[i], z[j]) for z in (x, y) for i, j in pairs if i != j) / (12 * 11)
    between = sum(k(x[i], y[j]) for i, j in pairs) / 12**2
    assert kernel_distances(x, y, 1, 12, 0)[0] == pytest.approx(within - 2 * between)


def test_of_equal_laws_the_kernel_distance_is_around_nothing_and_of_others_it_is_not() -> None:
    same = kernel_distances(normal(0, 600, 5), normal(1, 600, 5), 50, 100, 3)
    other = kernel_distances(normal(0, 600, 5), normal(1, 600, 5, 0.5), 50, 100, 3)
    assert abs(same.mean()) < same.std()
    assert other.mean() > 3 * other.std()


@given(st.integers(0, 1_000), st.integers(1, 3))
def test_a_manifold_is_the_union_of_balls_to_the_nearest_neighbours(seed: int, neighbours: int) -> None:
    these, others = normal(seed, 15, 2), normal(seed + 1, 12, 2, 0.7)
    apart = np.linalg.norm(others[:, None] - others, axis=2)
    radii = np.sort(apart, axis=1)[:, neighbours]
    inside = (np.linalg.norm(these[:, None] - others, axis=2) <= radii).any(1)
    assert np.array_equal(covered(these, others, neighbours), inside)


def test_a_generator_that_knows_one_mode_of_two_is_precise_and_recalls_half() -> None:
    real = np.concatenate([normal(0, 200, 3, -20.0), normal(1, 200, 3, 20.0)])
    found = measure(real, normal(2, 200, 3, 20.0), 3, 5, 100, 0)
    assert found.precision > 0.9
    assert 0.4 < found.recall <= 0.5
    exact = measure(real, real, 3, 5, 100, 0)
    assert (exact.precision, exact.recall) == (1, 1)
    assert exact.frechet == pytest.approx(0, abs=1e-6)
    far = measure(real, normal(3, 200, 3, 500.0), 3, 5, 100, 0)
    assert (far.precision, far.recall) == (0, 0)


def test_too_few_images_are_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"fidelity\.neighbours=3: needs more images"):
        measure(normal(0, 3, 2), normal(1, 3, 2), 3, 1, 2, 0)
