"""The optimizer's step as a few operations on one vector, with rates that it reads from the device.

torch's own Adam keeps beta1 as a Python number, which a CUDA graph would freeze although OneCycleLR changes it at every
step; and one vector takes a handful of kernels where a list of parameters takes hundreds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scs_study.config.schema import TrainConfig
from scs_study.training import fused_adam

SLOT = 64
"""Numbers at whose multiples a parameter begins: q has one number, and what follows it would else be read 4 bytes at a
time. 256 bytes are what torch aligns a tensor of its own to on a GPU."""


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
        self._decay = recipe.weight_decay
        self._shrunk: Tensor | None = None
        if recipe.optimizer == "adamw":  # its decay shrinks the parameters, and is no part of the gradient
            self._shrunk, self._decay = (1 - table[:, 0] * recipe.weight_decay).float().to(device), 0.0
        self._beta2: float = group["betas"][1] if self._adam else 0.0
        self._eps: float = group["eps"] if self._adam else 0.0
        self._factors = _factors(table, self._beta2, self._adam).to(device)
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
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        torch._foreach_copy_(self._gradients, gradients)
        if self._shrunk is not None:
            self.values.mul_(self._shrunk.index_select(0, at))
        if self._adam and fused_adam.usable(self.values):
            vectors = (self.values, self.gradient, self.first, self.second)
            fused_adam.adam(*vectors, self._factors, at, self._beta2, self._eps, self._decay)
            return
        if self._decay:
            self.gradient.add_(self.values, alpha=self._decay)
        blend, rate, root = self._factors.index_select(0, at).unbind(1)
        if self._adam:
            self.first.lerp_(self.gradient, blend)
            self.second.mul_(self._beta2).addcmul_(self.gradient, self.gradient, value=1 - self._beta2)
            self.values.add_((self.first * rate).div_(self.second.sqrt().div_(root).add_(self._eps)))
        else:
            self.first.mul_(blend).add_(self.gradient)
            self.values.add_(self.first * rate)

    def _views(self, vector: Tensor) -> list[Tensor]:
        # With the parameter's own strides, so that nothing is transposed on the way.
        views, start = [], 0
        for parameter in self._parameters:
            views.append(vector.as_strided(parameter.shape, parameter.stride(), vector.storage_offset() + start))
            start += _slot(parameter)
        return views


def _slot(parameter: Tensor) -> int:
    return -(-parameter.numel() // SLOT) * SLOT


def _factors(table: Tensor, beta2: float, adam: bool) -> Tensor:
    """What a step multiplies with, float32 (S, 3), computed in float64: for Adam 1 - beta1, -lr / (1 - beta1^t) and
    sqrt(1 - beta2^t); for SGD momentum, -lr and nothing."""
    lr, beta1 = table.unbind(1)
    if not adam:
        return torch.stack([beta1, -lr, torch.ones_like(lr)], 1).float()
    t = torch.arange(1, len(table) + 1, dtype=torch.float64)
    return torch.stack([1 - beta1, -lr / (1 - beta1**t), (1 - beta2**t).sqrt()], 1).float()
