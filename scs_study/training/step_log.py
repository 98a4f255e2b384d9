"""What is written down at every training step of an epoch, kept on the device until the epoch ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GRADIENT_BOUNDS = (1e-4, 1e6)
"""Outside these an L2 norm of a layer's gradient counts as vanished or exploded.

On average over an epoch every layer of the networks in results/ stayed within 0.05 and 1,200; ResNet18 with
SharpenedSDP, ReLU, no norm and p from U(1, 3) begins at 4e-6.
"""


CLASSIFIED: Mapping[str, torch.dtype] = {"loss": torch.float32, "correct": torch.int64}
"""What classification logs of a step: the batch's mean loss, and how many of its images were classified rightly."""


@dataclass
class StepLog:
    """One epoch's steps: weight_norm and gradient_norm (S, L), L2, per layer, and what the objective logs.

    metrics: (S,) each, by name. before: (L,), the layers' weight norms before the epoch's first step, weight_norm being
    those after each step. done: how many steps are filled in; seconds: training time they took.
    """

    metrics: dict[str, Tensor]
    weight_norm: Tensor
    gradient_norm: Tensor
    before: Tensor
    done: int = 0
    seconds: float = 0.0

    @staticmethod
    def empty(steps: int, layers: int, device: torch.device, logged: Mapping[str, torch.dtype] = CLASSIFIED) -> StepLog:
        """Return a log for `steps` steps, none of them done; logged: the metrics of the objective and their types."""
        return StepLog(
            metrics={name: torch.zeros(steps, dtype=dtype, device=device) for name, dtype in logged.items()},
            weight_norm=torch.zeros(steps, layers, device=device),
            gradient_norm=torch.zeros(steps, layers, device=device),
            before=torch.zeros(layers, device=device),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return the log's tensors by name, for a checkpoint."""
        return {
            **self.metrics,
            "weight_norm": self.weight_norm,
            "gradient_norm": self.gradient_norm,
            "before": self.before,
        }

    def restore(self, tensors: Mapping[str, Tensor], done: int, seconds: float) -> None:
        """Make the log what `tensors()` gave when it was checkpointed."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])
        self.done, self.seconds = done, seconds

    def first_bad_loss(self) -> int | None:
        """Return the first step (from 0) with a loss that is not finite, None if there is none.

        Synchronises with the device.
        """
        losses = [values[: self.done] for values in self.metrics.values() if values.is_floating_point()]
        bad = (~torch.stack([torch.isfinite(values) for values in losses]).all(0)).nonzero()
        return int(bad[0]) if len(bad) else None

    def first_violations(self, layers: Sequence[str]) -> dict[str, dict[str, object]]:
        """Return the first step with a gradient norm outside GRADIENT_BOUNDS, below ("vanished") and above
        ("exploded").

        Each names the layer that is farthest outside at that step. Where norms are not finite, that is the one nearest
        the loss, where the backward pass begins: the layers before it got theirs from it.
        """
        low, high = GRADIENT_BOUNDS
        norms = self.gradient_norm[: self.done].double().cpu()
        found: dict[str, dict[str, object]] = {}
        small, large = norms < low, ~(norms <= high)  # NaN compares false, so it counts as exploded
        if small.any():
            step = int(small.any(1).nonzero()[0])
            found["vanished"] = _violation(norms, layers, step, int(norms[step].nan_to_num(torch.inf).argmin()))
        if large.any():
            step = int(large.any(1).nonzero()[0])
            lost = (~torch.isfinite(norms[step])).nonzero()
            found["exploded"] = _violation(norms, layers, step, int(lost[-1] if len(lost) else norms[step].argmax()))
        return found


def _violation(norms: Tensor, layers: Sequence[str], step: int, layer: int) -> dict[str, object]:
    norm = norms[step, layer]
    return {"step": step, "layer": layers[layer], "gradient_norm": float(norm) if torch.isfinite(norm) else None}
