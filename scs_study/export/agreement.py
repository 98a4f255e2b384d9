"""Whether an exported network still says what the trained one said, on real images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from scs_study.layers import MaxAbsPool2d
from scs_study.layers.sizes import pair

TOLERANCE = 1e-5
"""The largest difference of a logit, absolute, or as a share of the image's largest where that is above 1."""
NEAR = 1e-5
"""Two magnitudes this close, as a share of the larger, may change places with the last digits of an addition."""
BATCH = 100

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """What came of the comparison.

    images: how many were compared. largest: the largest difference of a logit over those without a tie, by the
    measure of TOLERANCE. ties: images in which some window of a MaxAbsPool has two values of opposite sign and nearly
    one size, so that frameworks may choose either; largest_of_ties is theirs. same_class: images given one class by
    both.
    """

    images: int
    largest: float
    ties: int
    largest_of_ties: float
    same_class: int

    @property
    def holds(self) -> bool:
        """Whether the two are the same network: within TOLERANCE, on at least one image without a tie."""
        return self.ties < self.images and self.largest <= TOLERANCE

    def __str__(self) -> str:
        text = f"logits differ by at most {self.largest:.1e} on {self.images - self.ties} test images"
        if self.ties:
            text += f"; {self.ties} more have a tie in MaxAbsPool and differ by at most {self.largest_of_ties:.1e}"
        return f"{text}; the same class for {self.same_class} of {self.images}"


def agreement(trained: nn.Module, exported: Callable[[Pixels], Logits], images: Tensor) -> Agreement:
    """Return how far `exported` is from `trained`, both from pixels, uint8 (N, height, width, channels), N at least 1.

    Raises ValueError where the exported network gives another shape of outputs.
    """
    differences, tied, same = [], [], 0
    for batch in torch.split(images, BATCH):
        with torch.no_grad(), _near_ties(trained, len(batch)) as ties:
            ours = trained(batch).numpy()
        theirs = exported(batch.numpy())
        if theirs.shape != ours.shape:
            raise ValueError(
                f"the exported network gives outputs of shape {theirs.shape}, the trained one {ours.shape}"
            )
        scale = np.maximum(1.0, np.abs(ours).max(1))
        # Not a plain maximum: a NaN on one side alone must not pass for agreement.
        difference = np.where(np.isnan(ours) & np.isnan(theirs), 0.0, np.abs(ours - theirs)).max(1) / scale
        differences.append(np.nan_to_num(difference, nan=np.inf))
        tied.append(ties.numpy())
        same += int((ours.argmax(1) == theirs.argmax(1)).sum())
    distance, is_tied = np.concatenate(differences), np.concatenate(tied)
    free, bound = distance[~is_tied], distance[is_tied]
    return Agreement(len(distance), float(free.max(initial=0)), len(bound), float(bound.max(initial=0)), same)


@contextmanager
def _near_ties(network: nn.Module, count: int) -> Iterator[Tensor]:
    """A context whose value, bool (count,), says afterwards which images of a batch had a near tie in a MaxAbsPool."""
    found = torch.zeros(count, dtype=torch.bool)

    def look(pool: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(pool, MaxAbsPool2d)
        kernel, padding, dilation = (pair(value, "") for value in (pool.kernel_size, pool.padding, pool.dilation))
        stride = kernel if pool.stride is None else pair(pool.stride, "")
        high, low = (max_pool2d(x, kernel, stride, padding, dilation, pool.ceil_mode) for x in (inputs[0], -inputs[0]))
        larger = torch.maximum(high, low)
        near = ((high - low).abs() <= NEAR * larger) & (torch.minimum(high, low) > 0)
        found.logical_or_(near.flatten(1).any(1))

    pools = [module for module in network.modules() if isinstance(module, MaxAbsPool2d)]
    handles = [pool.register_forward_pre_hook(look) for pool in pools]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
