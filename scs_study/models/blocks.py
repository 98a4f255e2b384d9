"""Parts that several networks are made of: the depthwise and pointwise pair, with kernels of its own or shared ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn


class SharedDepthwise(nn.Module):
    """A depthwise convolution whose channels all share one bank of kernels (systems.md 1.5, `shared_weights`).

    A convolution of one channel, shown each channel in turn: C channels of images give C * kernels, those of the first
    channel first. A layer that replaces the convolution shares its p and q as well.
    """

    def __init__(self, kernels: int, size: int, padding: int = 0, bias: bool = True) -> None:
        super().__init__()
        self.bank = nn.Conv2d(1, kernels, size, padding=padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (B, C * kernels, height, width) of images (B, C, H, W)."""
        y: Tensor = self.bank(x.reshape(-1, 1, *x.shape[2:]))
        return y.reshape(x.shape[0], -1, *y.shape[2:])


def depthwise_pointwise(
    channels: int, between: int, out: int, padding: int, shared: bool = False, bias: bool = True
) -> tuple[nn.Module, nn.Module]:
    """Return the pair of the gallery's small networks: 3x3 on each channel by itself, then 1x1 across channels.

    between: channels after the first, a multiple of `channels`. shared: whether all channels share one bank of kernels.
    """
    assert between % channels == 0
    depthwise = (
        SharedDepthwise(between // channels, 3, padding, bias)
        if shared
        else nn.Conv2d(channels, between, 3, padding=padding, groups=channels, bias=bias)
    )
    return depthwise, nn.Conv2d(between, out, 1, bias=bias)


@dataclass(frozen=True)
class Plain:
    """Convolutions across all channels, each with channels out, size and padding, then a pool (1: none)."""

    kernels: tuple[tuple[int, int, int], ...]
    pool: int


@dataclass(frozen=True)
class Pair:
    """A depthwise and a pointwise convolution, then a pool (1: none); see `depthwise_pointwise`."""

    between: int
    out: int
    padding: int
    pool: int
    shared: bool = False


def stack(
    stages: Iterable[Plain | Pair], features: int, num_classes: int, in_channels: int, ceil_mode: bool = True
) -> nn.Module:
    """Return a network in the gallery's manner: stages of convolutions, pool and ReLU, then one linear layer.

    features: numbers that it is shown. ceil_mode: of all pools. The ReLU comes after the pool (systems.md 0.2).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = in_channels
    for number, stage in enumerate(stages, start=1):
        if isinstance(stage, Pair):
            pair = depthwise_pointwise(channels, stage.between, stage.out, stage.padding, stage.shared)
            layers[f"depthwise{number}"], layers[f"pointwise{number}"] = pair
            channels = stage.out
        else:
            for index, (out, size, padding) in enumerate(stage.kernels):
                name = f"conv{number}" + (chr(ord("a") + index) if len(stage.kernels) > 1 else "")
                layers[name] = nn.Conv2d(channels, out, size, padding=padding)
                channels = out
        if stage.pool > 1:
            layers[f"pool{number}"] = nn.MaxPool2d(stage.pool, ceil_mode=ceil_mode)
        layers[f"relu{number}"] = nn.ReLU()
    layers["flatten"] = nn.Flatten()
    layers["head"] = nn.Linear(features, num_classes)
    return nn.Sequential(layers)
