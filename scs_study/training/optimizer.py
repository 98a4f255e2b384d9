"""The optimizer and the learning-rate schedule of a recipe."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR, OneCycleLR

from scs_study.config.schema import TrainConfig


def make_optimizer(network: nn.Module, recipe: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer over the network's parameters, but for frozen ones, with torch's defaults for what the
    recipe does not name.
    """
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if recipe.optimizer == "sgd":
        assert recipe.momentum is not None
        return torch.optim.SGD(learning, lr=recipe.max_lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(learning, lr=recipe.max_lr, weight_decay=recipe.weight_decay)
    betas = (0.9 if recipe.beta1 is None else recipe.beta1, 0.999)
    return torch.optim.Adam(learning, lr=recipe.max_lr, betas=betas, weight_decay=recipe.weight_decay)


def make_scheduler(optimizer: torch.optim.Optimizer, recipe: TrainConfig, steps_per_epoch: int) -> LRScheduler:
    """Return the schedule, to be stepped once after every batch.

    onecycle: torch's OneCycleLR with its defaults, beta1 cycling included (paper Appendix A; systems.md 2);
    steps: x 0.1 at one half and three quarters of the epochs (systems.md 5, ResNet20); two_stages: x 0.1 at one half
    (systems.md 5, ASL); cosine: a linear rise over warm_up of the steps, then half a cosine down to 0, or to the
    rate of cool_down, which the last steps keep (systems.md 5, CCT); constant: max_lr throughout.
    """
    total = recipe.epochs * steps_per_epoch
    if recipe.schedule == "onecycle":
        rising = 0.3 if recipe.warm_up is None else recipe.warm_up  # torch's own default
        return OneCycleLR(optimizer, max_lr=recipe.max_lr, total_steps=total, pct_start=rising)
    if recipe.schedule == "steps":
        milestones = [total // 2, total * 3 // 4]
        return MultiStepLR(optimizer, milestones=milestones, gamma=0.1)
    if recipe.schedule == "two_stages":
        return MultiStepLR(optimizer, milestones=[total // 2], gamma=0.1)
    if recipe.schedule == "cosine":
        share, rate = recipe.cool_down or (0.0, 0.0)
        rising, falling = round(total * (recipe.warm_up or 0.0)), total - round(total * share)
        return LambdaLR(optimizer, lr_lambda=_cosine(rising, falling, rate / recipe.max_lr))
    return LambdaLR(optimizer, lr_lambda=_constant)


_BUILDING = threading.Lock()


def rates(recipe: TrainConfig, steps_per_epoch: int) -> Tensor:
    """Return the learning rate, and Adam's beta1 or SGD's momentum, of every step: float64 (steps + 1, 2), on the CPU.

    Row k holds what torch's own scheduler has set after k steps; it is asked once, step by step (15 us each), so that
    no formula of it is written down twice. The last row is what it leaves behind.
    Of cells side by side the first one builds it, and the others wait.
    """
    with _BUILDING:
        return _rates(recipe, steps_per_epoch)


@functools.cache
def _rates(recipe: TrainConfig, steps_per_epoch: int) -> Tensor:
    optimizer = make_optimizer(nn.Linear(1, 1), recipe)
    scheduler = make_scheduler(optimizer, recipe, steps_per_epoch)
    optimizer.step()  # has nothing to do; a scheduler warns where no step came before it
    group = optimizer.param_groups[0]
    rows = [_rates_of(group)]
    for _ in range(recipe.epochs * steps_per_epoch):
        scheduler.step()
        rows.append(_rates_of(group))
    return torch.tensor(rows, dtype=torch.float64)


def put_at(step: int, optimizer: torch.optim.Optimizer, scheduler: LRScheduler, table: Tensor) -> None:
    """Put optimizer and scheduler where they would stand after `step` steps; table: what `rates` gave."""
    lr, beta1 = table[step].tolist()
    group = optimizer.param_groups[0]
    group["lr"] = lr
    if "betas" in group:
        group["betas"] = (beta1, group["betas"][1])
    else:
        group["momentum"] = beta1
    scheduler.load_state_dict({**scheduler.state_dict(), "last_epoch": step, "_step_count": step + 1, "_last_lr": [lr]})


def _rates_of(group: dict[str, Any]) -> tuple[float, float]:
    return group["lr"], group["betas"][0] if "betas" in group else group["momentum"]


def _constant(step: int) -> float:
    return 1.0


def _cosine(rising: int, falling: int, least: float) -> Callable[[int], float]:
    """The share of the largest rate at a step: it rises on the first `rising` of them, falls until step `falling`, and
    is `least` from then on.
    """

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        if step >= falling:
            return least
        return least + (1 - least) * (1 + math.cos(math.pi * (step - rising) / (falling - rising))) / 2

    return share
