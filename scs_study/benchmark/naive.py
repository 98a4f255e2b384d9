"""The formulas as they stand, left to autograd to differentiate: what the fast layer and pool are compared with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d

from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d


class NaiveSharpenedCosineSimilarity2d(nn.Module):
    """The same function and parameters as the may2022 layer it is made from, without its care for speed."""

    def __init__(self, layer: SharpenedCosineSimilarity2d) -> None:
        super().__init__()
        self.weight, self.raw_p, self.raw_q = layer.weight, layer.raw_p, layer.raw_q
        self.stride, self.padding, self.groups, self.eps = layer.stride, layer.padding, layer.groups, layer.eps

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H', W'): sgn(c) (|c| + eps)^p, patch norms by a convolution for every kernel."""
        settings: dict[str, Any] = {"stride": self.stride, "padding": self.padding, "groups": self.groups}
        kernels = self.weight / self.weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        norm = torch.sqrt(conv2d(x.square(), torch.ones_like(self.weight), **settings) + self.eps)
        c = conv2d(x, kernels, **settings) / (norm + self.raw_q.exp())
        return torch.sign(c) * (torch.abs(c) + self.eps) ** self.raw_p.view(1, -1, 1, 1)


class NaiveMaxAbsPool2d(nn.Module):
    """The same function as the pool it is made from: the larger in magnitude of the largest and the smallest value."""

    def __init__(self, pool: MaxAbsPool2d) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            name: getattr(pool, name) for name in ("kernel_size", "stride", "padding", "ceil_mode")
        }

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H', W')."""
        high, low = max_pool2d(x, **self.settings), -max_pool2d(-x, **self.settings)
        return torch.where(high >= -low, high, low)


def naive_network(network: nn.Module) -> nn.Module:
    """Return the network itself, its SCS layers and MaxAbs pools replaced by naive ones that keep its parameters."""
    for path, module in list(network.named_modules()):
        if isinstance(module, SharpenedCosineSimilarity2d):
            network.set_submodule(path, NaiveSharpenedCosineSimilarity2d(module))
        elif isinstance(module, MaxAbsPool2d):
            network.set_submodule(path, NaiveMaxAbsPool2d(module))
    return network
