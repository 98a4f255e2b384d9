"""The Fréchet distance between two sets of vectors, each taken for a normal law; in float64 throughout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean (D,) and covariance (D, D) of vectors."""

    mean: Array
    covariance: Array

    @staticmethod
    def of(vectors: Array) -> Moments:
        """Return the moments of vectors (N, D), N > 1; the covariance is the unbiased one."""
        vectors = np.asarray(vectors, dtype=np.float64)
        mean = vectors.mean(0)
        centred = vectors - mean
        return Moments(mean, centred.T @ centred / (len(vectors) - 1))

    @staticmethod
    def of_sums(count: int, total: Array, products: Array) -> Moments:
        """Return the moments of `count` vectors from their sum (D,) and the sum of their outer products (D, D)."""
        mean = total / count
        return Moments(mean, (products - count * np.outer(mean, mean)) / max(count - 1, 1))


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), the squared 2-Wasserstein distance of two normal laws.

    The trace of the root is the sum of the roots of the eigenvalues of C_a^(1/2) C_b C_a^(1/2), which is symmetric: no
    root of a general matrix is taken, so singular covariances (a pixel that is always black) do no harm.
    """
    root = _root(a.covariance)
    inner = np.linalg.eigvalsh(root @ b.covariance @ root)
    crossed = float(np.sqrt(np.clip(inner, 0.0, None)).sum())
    apart = float(((a.mean - b.mean) ** 2).sum())
    return max(apart + float(np.trace(a.covariance) + np.trace(b.covariance)) - 2.0 * crossed, 0.0)


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    return root
