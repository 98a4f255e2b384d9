"""What a claim measures of a finished run: one number a run, in the unit that the claims use.

What is measured image by image is in images.py, times in speed.py, and whether two runs are the same in identity.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.claims.schema import ClaimFile, Metric
from scs_study.analysis.collect import history, layer_history
from scs_study.analysis.statistics.trends import block_means, mann_kendall
from scs_study.analysis.variants import Record
from scs_study.analysis.weight_norms.growth import Norms, step_norms

LAST, SHORT = 5, 50
"""Epochs that the endpoint is the mean of; of a run shorter than SHORT the last tenth, at least one: there five epochs
are a good part of the training, and not its end."""
STEPS = 50
"""Mini-batches that norms are averaged over before a trend is looked for (science: each single one is a coin toss)."""
BLOCKS = 20
"""Stretches of the training that p is averaged over for the same purpose."""
MONOTONE = 0.8
"""Kendall's tau from which a series counts as going one way."""


class NotMeasured(ValueError):
    """A run does not have what a metric needs; the sentence says what."""


def measured(metric: Metric, row: Record, file: ClaimFile) -> float:
    """Return the value of a metric that is one number a run. Raises NotMeasured, or ValueError for a damaged file."""
    return float(_OF_RUN[metric.name](row, file))


def endpoint(row: Record, file: ClaimFile) -> float:
    """Return the mean test accuracy of the last epochs in %; of a run that diverged, chance."""
    if row["state"] == "diverged":
        return file.chance
    values = _accuracies(row)
    return 100 * float(np.mean(values[-last_epochs(len(values)) :]))


def last_epochs(epochs: int) -> int:
    """Return over how many epochs the endpoint is the mean."""
    return LAST if epochs >= SHORT else max(1, min(LAST, epochs // 10))


def is_dead(row: Record, file: ClaimFile) -> bool:
    """Return whether a run diverged or ended at chance."""
    return bool(row["state"] == "diverged" or endpoint(row, file) <= file.chance + file.dead_margin.delta)


def _accuracies(row: Record) -> NDArray[np.float64]:
    values = history(Path(row["folder"]))["test_accuracy"].to_numpy(dtype=np.float64)
    if not len(values) or np.isnan(values).any():
        raise NotMeasured(f"{row['run']}: history.jsonl has no test accuracy of every epoch")
    return values


def _epochs_to_99(row: Record, file: ClaimFile) -> float:
    """The first epoch with 99 % of the final accuracy, in % of the schedule; of a dead run not defined."""
    if is_dead(row, file):
        raise NotMeasured(f"{row['run']}: it is dead, so it has no epoch at which it was as good as at its end")
    values = _accuracies(row)
    final = float(np.mean(values[-last_epochs(len(values)) :]))
    return 100 * float(np.argmax(values >= 0.99 * final) + 1) / len(values)


def _norms(row: Record) -> Norms:
    found = step_norms(Path(row["folder"]))
    if found is None:
        raise NotMeasured(f"{row['run']}: no steps.jsonl, which weight norms of every mini-batch come from")
    return found


def _log_growth(row: Record, file: ClaimFile) -> float:
    values = _positive(row, _norms(row).values[[0, -1]])
    return float(np.log(values[1] / values[0]).mean())


def _log_norm(row: Record, file: ClaimFile) -> float:
    return float(np.log(_positive(row, _norms(row).values[-1])).mean())


def _positive(row: Record, values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (values > 0).all():
        raise NotMeasured(f"{row['run']}: a layer's weights are all zero, so they have no logarithm")
    return values


def _norm_tau(row: Record, file: ClaimFile) -> float:
    """The mean over the layers of Kendall's tau of STEPS-step means of their norms; a constant norm counts as 0."""
    means = block_means(_norms(row).values[1:], STEPS)
    if len(means) < 3:
        raise NotMeasured(f"{row['run']}: fewer than {3 * STEPS} mini-batches, so its norms have no trend")
    return float(np.mean(np.nan_to_num([mann_kendall(layer).tau for layer in means.T])))


def _first_layer_p(row: Record) -> NDArray[np.float64]:
    """p of the kernels of a run's first layer, (epochs, kernels)."""
    frame = layer_history(Path(row["folder"]))
    frame = frame[frame["p"].notna()]
    if frame.empty:
        raise NotMeasured(f"{row['run']}: no p of any layer in layers.jsonl")
    first = frame[frame["path"] == frame["path"].iloc[0]]
    return np.array(first["p"].tolist(), dtype=np.float64)


def _p_monotone(row: Record, file: ClaimFile) -> float:
    """The share of the first layer's kernels whose p goes one way over BLOCKS stretches of the training, in %."""
    p = _first_layer_p(row)
    means = block_means(p, max(1, len(p) // BLOCKS))
    if len(means) < BLOCKS:
        raise NotMeasured(f"{row['run']}: fewer than {BLOCKS} epochs, so its p have no trend")
    taus = [abs(mann_kendall(kernel).tau) for kernel in means.T]
    return 100 * float(np.mean([not math.isnan(tau) and tau >= MONOTONE for tau in taus]))


def _p_range(row: Record, file: ClaimFile) -> float:
    """The median over the first layer's kernels of the difference between the largest and the smallest p."""
    return float(np.median(np.ptp(_first_layer_p(row), axis=0)))


_OF_RUN: Mapping[str, Callable[[Record, ClaimFile], Any]] = {
    "accuracy": endpoint,
    "epochs_to_99": _epochs_to_99,
    "log_growth": _log_growth,
    "log_norm": _log_norm,
    "norm_tau": _norm_tau,
    "p_monotone": _p_monotone,
    "p_range": _p_range,
}
