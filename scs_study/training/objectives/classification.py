"""Classification: cross entropy on one network, judged by its accuracy on the test images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scs_study.config.schema import CellConfig
from scs_study.data import Batches, ImageSet
from scs_study.models import build_variant
from scs_study.models.pool_fusion import fuse_pools
from scs_study.training.objectives import fused_loss
from scs_study.training.precision import numerics
from scs_study.training.step_log import CLASSIFIED, StepLog

EVAL_BATCH = 500
CHANCE_MARGIN = 0.01
"""A network that learnt for some steps of an epoch and died has a training accuracy a little above chance."""
NETWORK = "network"


class Classification:
    """The objective of the paper's tables."""

    primary = "accuracy"
    direction: Literal["max", "min"] = "max"
    logged = CLASSIFIED
    tested: Sequence[str] = ("loss", "accuracy")

    def __init__(self, cell: CellConfig) -> None:
        self.cell, self.recipe = cell, cell.train

    def networks(self, shared: Mapping[str, Tensor]) -> dict[str, nn.Module]:
        """Return the cell's network, with pools taken in before the power."""
        return {NETWORK: fuse_pools(build_variant(self.cell, shared))}

    def gradients(self, phase: str, networks: Mapping[str, nn.Module], x: Tensor, y: Tensor) -> Mapping[str, Tensor]:
        """Return the mean loss and the number of images classified rightly; see `Objective.gradients`."""
        network = networks[phase]
        with numerics(self.recipe.numerics, x.device):
            output = network(x)
            if y.dim() == 1 and fused_loss.usable(output):
                return self._fused(network, output, y)
            loss = cross_entropy(output, y, label_smoothing=self.recipe.label_smoothing)
        for parameter in network.parameters():
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            most = y if y.dim() == 1 else y.argmax(1)  # of a mixed image, the class with the larger share
            return {"loss": loss.detach(), "correct": (output.argmax(1) == most).sum()}

    def _fused(self, network: nn.Module, output: Tensor, y: Tensor) -> Mapping[str, Tensor]:
        for parameter in network.parameters():
            parameter.grad = None
        loss, correct, grad = fused_loss.cross_entropy(output.detach(), y, self.recipe.label_smoothing)
        output.backward(grad)  # type: ignore[no-untyped-call]
        return {"loss": loss, "correct": correct}

    def totals(self, device: torch.device) -> dict[str, Tensor]:
        """Return the sums of loss and of images classified rightly."""
        return {
            "loss": torch.zeros((), device=device),
            "correct": torch.zeros((), dtype=torch.int64, device=device),
        }

    def test(self, networks: Mapping[str, nn.Module], batches: Batches, totals: Mapping[str, Tensor]) -> Iterator[None]:
        """Classify the whole test set, EVAL_BATCH images at a time."""
        for x, y in batches.test(EVAL_BATCH):
            yield
            with numerics(self.recipe.numerics, x.device):
                output = networks[NETWORK](x)
                totals["loss"].add_(cross_entropy(output, y, reduction="sum"))
            totals["correct"].add_((output.argmax(1) == y).sum())

    def test_metrics(self, totals: Mapping[str, Tensor], batches: Batches) -> dict[str, float]:
        """Return mean loss and accuracy (0 to 1)."""
        images = batches.test_images
        return {"loss": float(totals["loss"]) / images, "accuracy": int(totals["correct"]) / images}

    def train_metrics(self, log: StepLog, images: int, batch_size: int) -> dict[str, float]:
        """Return mean loss and accuracy (0 to 1) over the epoch's images."""
        loss, correct = log.metrics["loss"], log.metrics["correct"]
        # The last batch is smaller, so a plain mean over batches would weigh its images more.
        sizes = torch.full_like(loss, batch_size, dtype=torch.float64)
        sizes[-1] = images - batch_size * (len(sizes) - 1)
        return {"loss": float((loss.double() * sizes).sum() / images), "accuracy": int(correct.sum()) / images}

    def left_chance(self, history: Sequence[Mapping[str, Any]], images: ImageSet) -> bool:
        """Return whether the accuracy ever rose above chance, on the training or the test images, in any epoch.

        Chance is the share of the most frequent class plus three standard deviations of a guesser's accuracy, and at
        least plus CHANCE_MARGIN.
        """
        for name, labels in (("train_accuracy", images.train_labels), ("test_accuracy", images.test_labels)):
            share = int(labels.bincount().max()) / len(labels)
            bound = share + max(CHANCE_MARGIN, 3 * math.sqrt(share * (1 - share) / len(labels)))
            if any(line[name] is not None and line[name] > bound for line in history):
                return True
        return False

    def collapse(self, history: Sequence[Mapping[str, Any]]) -> str:
        """Return "": `left_chance` says all that there is."""
        return ""

    def save_samples(self, folder: Path, epoch: int, networks: Mapping[str, nn.Module]) -> None:
        """Do nothing: the records are all that an epoch leaves."""
