"""The architectures, each as the plain convolutional network it is: nn.Conv2d, nn.MaxPool2d, nn.ReLU, nn.BatchNorm2d.

A variant is made of it by models/swap.py, so a new architecture is one function here and one small file in conf/arch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from scs_study.models.resnet import resnet18, resnet20, resnet20_idelbayev

CLASSES = 10


@dataclass(frozen=True)
class Architecture:
    """How to build a network, and what it can take.

    image_sizes: the sizes in pixels it takes, () for any.
    """

    build: Callable[[], nn.Module]
    image_sizes: tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """Convolutions, then a non-overlapping pool, then a ReLU.

    kernels: (channels out, kernel size, padding) of each convolution; channels out 0 is a depthwise convolution.
    """

    kernels: tuple[tuple[int, int, int], ...]
    pool: int


def _gallery(blocks: tuple[Block, ...], features: int) -> nn.Module:
    """A network of Rohrer's gallery (systems.md 2): blocks, then one linear layer.

    ceil_mode is part of the architecture (15 -> 8, 13 -> 7, 3 -> 1). The ReLU comes after the pool: only so can
    ReLU and MaxAbsPool2d give other results than ReLU and MaxPool2d, as they do in the paper (systems.md 0.2).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for number, block in enumerate(blocks, start=1):
        for index, (out, size, padding) in enumerate(block.kernels):
            name = f"conv{number}" + (chr(ord("a") + index) if len(block.kernels) > 1 else "")
            depthwise = out == 0
            out = out or channels
            layers[name] = nn.Conv2d(channels, out, size, padding=padding, groups=channels if depthwise else 1)
            channels = out
        layers[f"pool{number}"] = nn.MaxPool2d(block.pool, ceil_mode=True)
        layers[f"relu{number}"] = nn.ReLU()
    layers["flatten"] = nn.Flatten()
    layers["head"] = nn.Linear(features, CLASSES)
    return nn.Sequential(layers)


def rohrer25k() -> nn.Module:
    """Gallery file cifar10_80_25214: 24,974 parameters with SCS."""
    return _gallery((Block(((80, 5, 0),), 2), Block(((0, 3, 0), (40, 1, 0)), 2), Block(((40, 3, 0),), 4)), 40)


def rohrer47k() -> nn.Module:
    """Gallery file cifar10_80_47643: 47,653 parameters with SCS."""
    return _gallery((Block(((30, 5, 0),), 2), Block(((30, 5, 1),), 2), Block(((30, 5, 1),), 4)), 30)


def _three_by_three(width: int) -> nn.Module:
    blocks = (Block(((width, 3, 0),), 2), Block(((2 * width, 3, 1),), 2), Block(((4 * width, 3, 1),), 2))
    return _gallery(blocks, 4 * width * 16)


def rohrer68k() -> nn.Module:
    """Gallery file model_cifar10_18_4: 68,029 parameters with SCS."""
    return _three_by_three(24)


def rohrer100k() -> nn.Module:
    """Gallery file model_cifar10_15_9: 113,741 parameters with SCS (systems.md 2.1 on the name)."""
    return _three_by_three(32)


def rohrer583k() -> nn.Module:
    """Gallery file model_cifar10_12_9: 629,933 parameters with SCS (systems.md 2.1 on the name)."""
    return _three_by_three(80)


ARCHITECTURES: dict[str, Architecture] = {
    "rohrer25k": Architecture(rohrer25k, (32,)),
    "rohrer47k": Architecture(rohrer47k, (32,)),
    "rohrer68k": Architecture(rohrer68k, (32,)),
    "rohrer100k": Architecture(rohrer100k, (32,)),
    "rohrer583k": Architecture(rohrer583k, (32,)),
    "resnet18": Architecture(resnet18, ()),
    "resnet20": Architecture(resnet20, ()),
    "resnet20_idelbayev": Architecture(resnet20_idelbayev, ()),
}
