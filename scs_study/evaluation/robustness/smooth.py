"""A network with a sharpened layer's outputs and gradients that do not vanish: what an attack follows where the
layer's own lead nowhere (Athalye et al. 2018 call it BPDA).

The gradient of |c|^p is almost zero near c = 0 for p above 1. In a smoothed network it is that of the same layer at
p = 1, which has one everywhere.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from scs_study.layers import SharpenedCosineSimilarity2d, SharpenedDotProduct2d

SHARPENED = (SharpenedCosineSimilarity2d, SharpenedDotProduct2d)


def can_be_smoothed(network: nn.Module) -> bool:
    """Return whether a network has a layer whose exponents are not all 1."""
    return any(isinstance(module, SHARPENED) and bool((module.p != 1).any()) for module in network.modules())


def smoothed(network: nn.Module) -> nn.Module:
    """Return a copy of a network whose sharpened layers differentiate as at p = 1; its outputs are the same up to
    rounding."""
    changed = copy.deepcopy(network)
    for name, module in list(changed.named_modules()):
        if isinstance(module, SHARPENED):
            changed.set_submodule(name, _Smooth(module))
    return changed


class _Smooth(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.slope = layer, copy.deepcopy(layer)
        with torch.no_grad():  # p is raw_p, or of the version of March 2022 an exponential of it
            raw_p = self.slope.raw_p
            assert isinstance(raw_p, Tensor)
            raw_p.fill_(0.0 if getattr(layer, "parameterisation", None) == "mar2022" else 1.0)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.layer(x)
        slope: Tensor = self.slope(x)
        followed: Tensor = slope + (y - slope).detach()
        return followed
