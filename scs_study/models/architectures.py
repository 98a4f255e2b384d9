"""The architectures, each as the plain convolutional network it is: nn.Conv2d, nn.MaxPool2d, nn.ReLU, nn.BatchNorm2d.

A variant is made of it by models/conversion.py, so a new architecture is one function here and a file in conf/arch.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from scs_study.config.checks import choice
from scs_study.config.schema import ADVERSARIAL, CLASSIFICATION
from scs_study.config.widths import KEY, split_widths
from scs_study.models.cct import cct2, cct2_scs, cct2_scs_published, cct2_scs_rows
from scs_study.models.frozen import (
    frozen_resnet18,
    frozen_resnet18_imagenet,
    frozen_resnet20,
    frozen_resnet50,
    frozen_resnet50_imagenet,
)
from scs_study.models.gan import dcgan, scs_gan, scs_gan_hybrid
from scs_study.models.pairs import pairs, tied
from scs_study.models.published_nets import asl, batchelor_resnet, batchelor_scsnet, hukkelas, hukkelas_residual
from scs_study.models.resnet import resnet18, resnet20, resnet20_idelbayev, resnet50
from scs_study.models.small import (
    blog_keras,
    demo_cifar10,
    demo_fashion,
    demo_lightning,
    fashion2764,
    fashion3423,
    fashion7659,
    fashion_10,
    mnist1053,
    mnist1233,
    mnist1233_unscaled,
    rohrer37k,
)
from scs_study.models.tied import tied12, tied13, tied14


@dataclass(frozen=True)
class Architecture:
    """How to build a network, and what the rest needs to know of it.

    build: called with num_classes and in_channels, by name, and with widths where it has such an argument.
    image_sizes: the sizes in pixels it takes, such as 32 or (48, 40), height and width; () for any.
    objective: what it is made for: a classifier, a generator and a discriminator (models/gan.py), or another's.
    frozen: whether it is a head on a frozen backbone (models/frozen.py), whose weights come from a file.
    draws_as: the architecture from which it differs in a part that draws nothing: all else starts from the same numbers
    in both, as in the variants of one architecture.
    """

    build: Callable[..., nn.Module]
    image_sizes: tuple[int | tuple[int, int], ...]
    objective: str = CLASSIFICATION
    frozen: bool = False
    draws_as: str | None = None


@dataclass(frozen=True)
class Block:
    """Convolutions, then a non-overlapping pool, then a ReLU.

    kernels: (channels out, kernel size, padding) of each convolution; channels out 0 is a depthwise convolution.
    """

    kernels: tuple[tuple[int, int, int], ...]
    pool: int


def _gallery(blocks: tuple[Block, ...], features: int, num_classes: int, in_channels: int) -> nn.Module:
    """A network of Rohrer's gallery (systems.md 2): blocks, then one linear layer.

    ceil_mode is part of the architecture (15 -> 8, 13 -> 7, 3 -> 1). The ReLU comes after the pool: only so can
    ReLU and MaxAbsPool2d give other results than ReLU and MaxPool2d, as they do in the paper (systems.md 0.2).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = in_channels
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
    layers["head"] = nn.Linear(features, num_classes)
    return nn.Sequential(layers)


def rohrer25k(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Gallery file cifar10_80_25214: 24,974 parameters with SCS."""
    blocks = (Block(((80, 5, 0),), 2), Block(((0, 3, 0), (40, 1, 0)), 2), Block(((40, 3, 0),), 4))
    return _gallery(blocks, 40, num_classes, in_channels)


def rohrer47k(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Gallery file cifar10_80_47643: 47,653 parameters with SCS."""
    blocks = (Block(((30, 5, 0),), 2), Block(((30, 5, 1),), 2), Block(((30, 5, 1),), 4))
    return _gallery(blocks, 30, num_classes, in_channels)


def _three_by_three(width: int, num_classes: int, in_channels: int) -> nn.Module:
    blocks = (Block(((width, 3, 0),), 2), Block(((2 * width, 3, 1),), 2), Block(((4 * width, 3, 1),), 2))
    return _gallery(blocks, 4 * width * 16, num_classes, in_channels)


def rohrer68k(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Gallery file model_cifar10_18_4: 68,029 parameters with SCS."""
    return _three_by_three(24, num_classes, in_channels)


def rohrer100k(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Gallery file model_cifar10_15_9: 113,741 parameters with SCS (systems.md 2.1 on the name)."""
    return _three_by_three(32, num_classes, in_channels)


def rohrer583k(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Gallery file model_cifar10_12_9: 629,933 parameters with SCS (systems.md 2.1 on the name)."""
    return _three_by_three(80, num_classes, in_channels)


ARCHITECTURES: dict[str, Architecture] = {
    "rohrer25k": Architecture(rohrer25k, (32,)),
    "rohrer47k": Architecture(rohrer47k, (32,)),
    "rohrer68k": Architecture(rohrer68k, (32,)),
    "rohrer100k": Architecture(rohrer100k, (32,)),
    "rohrer583k": Architecture(rohrer583k, (32,)),
    "resnet18": Architecture(resnet18, ()),
    "resnet20": Architecture(resnet20, ()),
    "resnet20_idelbayev": Architecture(resnet20_idelbayev, ()),
    "rohrer37k": Architecture(rohrer37k, (32,)),
    "fashion7659": Architecture(fashion7659, (28,)),
    "fashion3423": Architecture(fashion3423, (28,)),
    "fashion2764": Architecture(fashion2764, (28,)),
    "fashion_10": Architecture(fashion_10, (28,)),
    "demo_fashion": Architecture(demo_fashion, (28,)),
    "demo_cifar10": Architecture(demo_cifar10, (32,)),
    "demo_lightning": Architecture(demo_lightning, (28,)),
    "test_mnist": Architecture(mnist1233, (28,)),
    "test_mnist_shared": Architecture(mnist1053, (28,)),
    "test_mnist_jax": Architecture(mnist1233_unscaled, (28,)),
    "blog_keras": Architecture(blog_keras, (32,)),
    "hukkelas": Architecture(hukkelas, (32,)),
    "hukkelas_residual": Architecture(hukkelas_residual, (32,)),
    "batchelor_scsnet": Architecture(batchelor_scsnet, ()),
    "batchelor_resnet": Architecture(batchelor_resnet, ()),
    "asl": Architecture(asl, (64,)),
    "cct2": Architecture(cct2, (32,)),
    "cct2_scs_published": Architecture(cct2_scs_published, (32,), draws_as="cct2"),
    "cct2_scs": Architecture(cct2_scs, (32,), draws_as="cct2"),
    "cct2_scs_rows": Architecture(cct2_scs_rows, (32,), draws_as="cct2"),
    "tied12": Architecture(tied12, (28,)),
    "tied13": Architecture(tied13, (28,)),
    "tied14": Architecture(tied14, (28,)),
    "tied": Architecture(tied, ()),
    "pairs": Architecture(pairs, ()),
    "dcgan": Architecture(dcgan, (64,), objective=ADVERSARIAL),
    "scs_gan": Architecture(scs_gan, (64,), objective=ADVERSARIAL),
    "scs_gan_hybrid": Architecture(scs_gan_hybrid, (64,), objective=ADVERSARIAL),
    "resnet50": Architecture(resnet50, ()),
    "frozen_resnet18": Architecture(frozen_resnet18, (), frozen=True),
    "frozen_resnet20": Architecture(frozen_resnet20, (), frozen=True),
    "frozen_resnet50": Architecture(frozen_resnet50, (), frozen=True),
    "frozen_resnet18_imagenet": Architecture(frozen_resnet18_imagenet, (), frozen=True),
    "frozen_resnet50_imagenet": Architecture(frozen_resnet50_imagenet, (), frozen=True),
}


def architecture(arch: str) -> Architecture:
    """Return the architecture that a cell names, with the widths that the name says.

    Raises ValueError in one sentence for a name that is not known, and for widths of a network that has none to choose.
    """
    name, widths = (arch, ()) if arch in ARCHITECTURES else split_widths(arch)
    choice("arch", name, ARCHITECTURES)
    found = ARCHITECTURES[name]
    if not widths:
        return found
    if not takes_widths(found.build):
        raise ValueError(f"{KEY}={list(widths)}: {name} has no widths to choose")
    return replace(found, build=functools.partial(found.build, widths=widths))


def takes_widths(build: Callable[..., object]) -> bool:
    """Return whether what builds a network has an argument `widths`."""
    return "widths" in inspect.signature(build).parameters


def plain_network(arch: str, ends: tuple[int, int] = (3, 10)) -> nn.Module:
    """Return the plain network of an architecture. ends: the channels of its images, and its number of classes."""
    in_channels, num_classes = ends
    return architecture(arch).build(num_classes=num_classes, in_channels=in_channels)
