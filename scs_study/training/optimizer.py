"""The optimizer and the learning-rate schedule of a recipe."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR, OneCycleLR

from scs_study.config import TrainConfig


def make_optimizer(network: nn.Module, recipe: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer over all of the network's parameters, with torch's defaults for what the recipe does not name."""
    if recipe.optimizer == "sgd":
        assert recipe.momentum is not None
        return torch.optim.SGD(
            network.parameters(), lr=recipe.max_lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    return torch.optim.Adam(network.parameters(), lr=recipe.max_lr, weight_decay=recipe.weight_decay)


def make_scheduler(optimizer: torch.optim.Optimizer, recipe: TrainConfig, steps_per_epoch: int) -> LRScheduler:
    """The schedule, to be stepped once after every batch.

    onecycle: torch's OneCycleLR with its defaults, beta1 cycling included (paper Appendix A; systems.md 2);
    steps: x 0.1 at one half and three quarters of the epochs (systems.md 5, ResNet20); constant: max_lr throughout.
    """
    total = recipe.epochs * steps_per_epoch
    if recipe.schedule == "onecycle":
        return OneCycleLR(optimizer, max_lr=recipe.max_lr, total_steps=total)
    if recipe.schedule == "steps":
        milestones = [total // 2, total * 3 // 4]
        return MultiStepLR(optimizer, milestones=milestones, gamma=0.1)
    return LambdaLR(optimizer, lr_lambda=_constant)


def _constant(step: int) -> float:
    return 1.0
