"""What an objective has to say; everything else about a run is the same for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from scs_study.data import Batches, ImageSet
from scs_study.training.step_log import StepLog


class Objective(Protocol):
    """What a run optimises. One instance serves one run.

    A step of a run has a phase for each network that `networks` names, in that order: gradients, then that network's
    optimizer. A classifier has one; a GAN has two.

    primary: the metric that tables, sweeps and "best" look at; direction: which of its values is the better one.
    logged: what `gradients` gives, beside the norms, and its types; every floating one of them must stay finite.
    """

    primary: str
    direction: Literal["max", "min"]
    logged: Mapping[str, torch.dtype]
    tested: Sequence[str]
    """The names of `test_metrics`, in its order, `primary` last."""

    def networks(self, shared: Mapping[str, Tensor]) -> dict[str, nn.Module]:
        """Return the run's networks on the CPU, from the common initial weights."""
        ...

    def gradients(self, phase: str, networks: Mapping[str, nn.Module], x: Tensor, y: Tensor) -> Mapping[str, Tensor]:
        """Compute the gradients of the network `phase` on a batch, and return its part of `logged`.

        x: images, float32 (B, C, H, W) in [0, 1]; y: classes, int64 (B,), or of a recipe that mixes images
        (train.mixup, train.cutmix) the classes' shares, float32 (B, classes). Every parameter of the network gets a
        gradient of its own (none is added to what was there). The result is scalars on the device: nothing may wait
        for it, since this becomes part of a CUDA graph.
        """
        ...

    def totals(self, device: torch.device) -> dict[str, Tensor]:
        """Return zeros on the device, which `test` adds to."""
        ...

    def test(self, networks: Mapping[str, nn.Module], batches: Batches, totals: Mapping[str, Tensor]) -> Iterator[None]:
        """Evaluate the networks, in chunks between which a run can be stopped; what is found is added to `totals`."""
        ...

    def test_metrics(self, totals: Mapping[str, Tensor], batches: Batches) -> dict[str, float]:
        """Return the metrics of an evaluation by name, `primary` and "loss" among them."""
        ...

    def train_metrics(self, log: StepLog, images: int, batch_size: int) -> dict[str, float]:
        """Return the metrics of an epoch's training steps by name, "loss" first."""
        ...

    def left_chance(self, history: Sequence[Mapping[str, Any]], images: ImageSet) -> bool:
        """Return whether a run with these epochs (history.jsonl) ever learnt something."""
        ...

    def collapse(self, history: Sequence[Mapping[str, Any]]) -> str:
        """Return in a sentence why a run with all its epochs is no result of its method; "" where it is one."""
        ...

    def save_samples(self, folder: Path, epoch: int, networks: Mapping[str, nn.Module]) -> None:
        """Write what else an epoch leaves into the run's folder, in files that are the same when it is done again."""
        ...


def better(objective: Objective, a: float, b: float) -> bool:
    """Return whether `a` is a better value of the primary metric than `b`."""
    return a > b if objective.direction == "max" else a < b
