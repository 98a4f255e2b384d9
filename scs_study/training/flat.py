"""The optimizer's step as a few operations on one vector, with rates that it reads from the device.

torch's own Adam keeps beta1 as a Python number, which a CUDA graph would freeze although OneCycleLR changes it at every
step; and one vector takes a handful of kernels where a list of parameters takes hundreds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scs_study.config.schema import TrainConfig
from scs_study.layers.modules import Bound
from scs_study.training import fused_adam

SLOT = 64
"""Numbers at whose multiples a parameter begins: q has one number, and what follows it would else be read 4 bytes at a
time. 256 bytes are what torch aligns a tensor of its own to on a GPU."""


@dataclass(frozen=True)
class Fused:
    """A step of a FlatOptimizer with clamps and norms, in three kernels. ranges: the slots of the layers' weights."""

    vectors: fused_adam.Vectors
    rule: fused_adam.Rule
    ranges: Tensor
    gather: Callable[[], None]

    @torch.no_grad()
    def step(self, at: Tensor) -> None:
        """Move and clamp the parameters by step `at`, int64 (1,) on the device, along the gradients they have."""
        self.gather()
        fused_adam.step(self.vectors, self.rule, at)

    @torch.no_grad()
    def log_norms(self, at: Tensor, gradient_norm: Tensor, weight_norm: Tensor, first_layer: int) -> None:
        """Write the step's norms into row `at` of two logs (S, L), the first layer's into column `first_layer`."""
        fused_adam.log_norms(self.vectors, self.ranges, at, gradient_norm, weight_norm, first_layer)


class FlatOptimizer:
    """Takes the place of `optimizer.step()`: all parameters, and each part of their state, are views of one vector.

    The torch optimizer remains the owner of parameters and state, so a checkpoint does not tell who made a step.
    table: the learning rate and beta1 (or momentum) of every step, float64 (S, 2): what `rates` gave.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: TrainConfig, table: Tensor) -> None:
        (group,) = optimizer.param_groups
        self._optimizer, self._recipe = optimizer, recipe
        self._parameters: list[Tensor] = group["params"]
        device = self._parameters[0].device
        self._adam = recipe.optimizer in ("adam", "adamw")
        # AdamW's decay shrinks the parameters, and is no part of the gradient.
        self._shrinks = recipe.optimizer == "adamw"
        self._decay = 0.0 if self._shrinks else recipe.weight_decay
        self._beta2: float = group["betas"][1] if self._adam else 0.0
        self._eps: float = group["eps"] if self._adam else 0.0
        self._factors = _factors(table, self._beta2, self._adam, recipe.weight_decay * self._shrinks).to(device)
        size = sum(_slot(parameter) for parameter in self._parameters)
        self.values, self.gradient, self.first, self.second = torch.zeros(4, size, device=device).unbind()
        self._gradients = self._views(self.gradient)
        names = {"exp_avg": self.first, "exp_avg_sq": self.second} if self._adam else {"momentum_buffer": self.first}
        self._state = {name: self._views(vector) for name, vector in names.items()}
        with torch.no_grad():
            for parameter, view in zip(self._parameters, self._views(self.values), strict=True):
                view.copy_(parameter)
                parameter.data = view

    def take_over(self) -> None:
        """Take over the state that the torch optimizer has (a checkpoint has put it there, or nothing)."""
        for name, views in self._state.items():
            for parameter, view in zip(self._parameters, views, strict=True):
                value = self._optimizer.state.get(parameter, {}).get(name)
                if value is None:
                    view.zero_()
                elif value is not view:
                    view.copy_(value)

    def hand_back(self, steps: int) -> None:
        """Give the torch optimizer the state that it would have had after `steps` steps of its own."""
        if steps == 0 or not (self._adam or self._recipe.momentum):
            return
        for index, parameter in enumerate(self._parameters):
            state = {name: views[index] for name, views in self._state.items()}
            self._optimizer.state[parameter] = {"step": torch.tensor(float(steps)), **state} if self._adam else state

    @torch.no_grad()
    def step(self, at: Tensor) -> None:
        """Move the parameters by step `at`, int64 (1,) on the device, along the gradients they have.

        Operations and their order are torch's. On the CPU Adam's numbers are too, bit for bit; SGD's differ by the
        rounding of a product that torch adds without rounding it first.
        """
        self._gather()
        blend, rate, root, shrink = self._factors.index_select(0, at).unbind(1)
        if self._shrinks:
            self.values.mul_(shrink)
        if self._decay:
            self.gradient.add_(self.values, alpha=self._decay)
        if self._adam:
            self.first.lerp_(self.gradient, blend)
            self.second.mul_(self._beta2).addcmul_(self.gradient, self.gradient, value=1 - self._beta2)
            self.values.add_((self.first * rate).div_(self.second.sqrt().div_(root).add_(self._eps)))
        else:
            self.first.mul_(blend).add_(self.gradient)
            self.values.add_(self.first * rate)

    def fuse(self, weights: Sequence[Tensor], bounds: Sequence[Bound] | None) -> Fused | None:
        """Return the same step as one kernel that also clamps to `bounds` and leaves the norms of `weights`; None where
        there is no such kernel, bounds are not known, or a weight or a bounded parameter is not one of the optimizer's.
        """
        if not fused_adam.usable(self.values) or bounds is None:
            return None
        places = {id(parameter): index for index, parameter in enumerate(self._parameters)}
        ends = torch.tensor([_slot(parameter) // SLOT for parameter in self._parameters]).cumsum(0).tolist()
        ranges = [(end - _slot(each) // SLOT, end) for end, each in zip(ends, self._parameters, strict=True)]
        limits = torch.tensor([-math.inf, math.inf]).repeat(ends[-1], 1)
        if not all(id(each) in places for each in (*weights, *(bound[0] for bound in bounds))):
            return None
        for parameter, low, high in bounds:
            begin, end = ranges[places[id(parameter)]]
            limits[begin:end] = torch.tensor([-math.inf if low is None else low, math.inf if high is None else high])
        device = self.values.device
        least, most = limits.t().contiguous().to(device)
        squares = torch.zeros(2, ends[-1], device=device)
        vectors = fused_adam.Vectors(self.values, self.gradient, self.first, self.second, least, most, squares)
        rule = fused_adam.Rule(self._adam, self._factors, self._beta2, self._eps, self._decay)
        of_weights = torch.tensor([ranges[places[id(weight)]] for weight in weights], dtype=torch.int32)
        return Fused(vectors, rule, of_weights.to(device), self._gather)

    def _gather(self) -> None:
        """Copy the gradients that the parameters have into one vector."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        torch._foreach_copy_(self._gradients, gradients)

    def _views(self, vector: Tensor) -> list[Tensor]:
        # With the parameter's own strides, so that nothing is transposed on the way.
        views, start = [], 0
        for parameter in self._parameters:
            views.append(vector.as_strided(parameter.shape, parameter.stride(), vector.storage_offset() + start))
            start += _slot(parameter)
        return views


def _slot(parameter: Tensor) -> int:
    return -(-parameter.numel() // SLOT) * SLOT


def _factors(table: Tensor, beta2: float, adam: bool, decay: float) -> Tensor:
    """What a step multiplies with, float32 (S, 4), computed in float64: for Adam 1 - beta1, -lr / (1 - beta1^t) and
    sqrt(1 - beta2^t); for SGD momentum, -lr and nothing; and what the parameters shrink by."""
    lr, beta1 = table.unbind(1)
    shrink = 1 - lr * decay
    if not adam:
        return torch.stack([beta1, -lr, torch.ones_like(lr), shrink], 1).float()
    t = torch.arange(1, len(table) + 1, dtype=torch.float64)
    return torch.stack([1 - beta1, -lr / (1 - beta1**t), (1 - beta2**t).sqrt(), shrink], 1).float()
