"""What is measured of the features of real and of generated images, (N, D) each, in float64.

Distances between nearest neighbours and kernels are scikit-learn's. The names of the originals (FID, KID) stand for
Inception's features, so they are not used for others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_chunked
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from scs_study.training.objectives.frechet import Moments, frechet_distance

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measures:
    """frechet: the Fréchet distance. kernel, kernel_deviation: the squared maximum mean discrepancy, mean over the
    subsets and its standard deviation. precision: the share of generated images within the manifold of real ones;
    recall: the share of real ones within that of the generated.
    """

    frechet: float
    kernel: float
    kernel_deviation: float
    precision: float
    recall: float


def measure(real: Array, fake: Array, neighbours: int, subsets: int, subset: int, seed: int) -> Measures:
    """Return all measures of features (N, D) and (M, D); subset is cut to the smaller of N and M.

    Raises ValueError for fewer images than `neighbours` + 1.
    """
    if min(len(real), len(fake)) <= neighbours:
        raise ValueError(f"fidelity.neighbours={neighbours}: needs more images than that, and there are {len(real)}")
    discrepancies = kernel_distances(real, fake, subsets, min(subset, len(real), len(fake)), seed)
    return Measures(
        frechet_distance(Moments.of(fake), Moments.of(real)),
        float(discrepancies.mean()),
        float(discrepancies.std()),
        float(covered(fake, real, neighbours).mean()),
        float(covered(real, fake, neighbours).mean()),
    )


def kernel_distances(real: Array, fake: Array, subsets: int, size: int, seed: int) -> Array:
    """Return the unbiased squared maximum mean discrepancy of random subsets, (subsets,): Binkowski et al., 2018.

    Its kernel is (x y / D + 1)^3; around 0 for equal distributions, so it may be negative.
    """
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        x, y = (each[chance.choice(len(each), size, replace=False)] for each in (real, fake))
        within = sum(_mean_of_pairs(each) for each in (x, y))
        found.append(within - 2 * float(_kernel(x, y).mean()))
    return np.array(found)


def _kernel(x: Array, y: Array) -> Array:
    kernel: Array = polynomial_kernel(x, y, degree=3, gamma=1 / x.shape[1], coef0=1)
    return kernel


def _mean_of_pairs(x: Array) -> float:
    kernel = _kernel(x, x)
    return float((kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1)))


def covered(these: Array, others: Array, neighbours: int) -> NDArray[np.bool_]:
    """Return which of `these` (N, D) lie within the manifold of the `others` (M, D), (N,): Kynkäänniemi et al., 2019.

    That is the union of balls around the others, each as far as its neighbour of that number.
    """
    nearest = NearestNeighbors(n_neighbors=neighbours + 1).fit(others)  # the first is the image itself
    radii: Array = nearest.kneighbors(others)[0][:, -1]
    return np.concatenate(list(_within(these, others, radii)))


def _within(these: Array, others: Array, radii: Array) -> Iterator[NDArray[np.bool_]]:
    for distances in pairwise_distances_chunked(these, others, working_memory=64):
        yield (distances <= radii).any(axis=1)
