"""A run's network as a plain classifier of images in [0, 1], and the order in which images are attacked.

RobustBench evaluates such a module as it is (the package is not needed here):

    from robustbench.eval import benchmark
    clean, robust = benchmark(classifier("runs/<run>"), dataset="cifar10", threat_model="Linf", eps=8 / 255)
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from scs_study.data.batches import resized
from scs_study.evaluation.frozen import seed_of
from scs_study.evaluation.trained import Trained, load_trained
from scs_study.training.precision import numerics


class Classifier(nn.Module):
    """A trained network with everything its images went through inside: size, memory layout, numerics class.

    Takes float32 (B, channels, H, W) in [0, 1], without mean or standard deviation, and gives logits, (B, classes).
    Images are attacked at their own size (32x32 for CIFAR-10) also where the network sees them enlarged: they are what
    there is to change.
    """

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.network = trained.network.to(memory_format=torch.channels_last)
        self.size = trained.cell.data.size
        self.numerics = trained.cell.train.numerics

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, (B, classes)."""
        x = resized(x, self.size)
        with numerics(self.numerics, x.device):
            logits: Tensor = self.network(x.contiguous(memory_format=torch.channels_last))
        return logits.float()


def classifier(run: Path | str, device: torch.device | str = "cpu") -> nn.Module:
    """Return the trained network of a run folder in eval mode, from [0, 1] images (B, 3, 32, 32) to logits (B, 10)
    for CIFAR-10.

    Its parameters are constants: an attack differentiates the images. Raises ValueError as load_trained.
    """
    return Classifier(load_trained(Path(run))).requires_grad_(False).to(device).eval()


def balanced(labels: Tensor) -> Tensor:
    """Return the order in which images are attacked, int64 (N,): all classes in turn, so that the first N are a fair
    sample.

    Within a class shuffled once and for all: a test set is sorted by its pixels, so its first images are dark ones.
    """
    generator = torch.Generator().manual_seed(seed_of("order of attacked images"))
    shuffled = torch.randperm(len(labels), generator=generator)
    turn = torch.empty_like(labels)
    for label in sorted(set(labels.tolist())):
        members = (labels[shuffled] == label).nonzero().flatten()
        turn[shuffled[members]] = torch.arange(len(members))
    classes = int(labels.max()) + 1 if len(labels) else 1
    return torch.argsort(turn * classes + labels)
