"""Larger networks that others made with SCS: Hukkelås' residual ones, Batchelor's two and Wagner's (systems.md 5)."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from scs_study.models.resnet import Standardise

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_DEVIATION = (0.2470, 0.2435, 0.2616)
"""Of the training images' red, green and blue in [0, 1]; which numbers Batchelor's code had is not on record."""


class _Stage(nn.Module):
    """Two 3x3 convolutions and a pool; the residual form adds a 1x1 convolution of the input, pooled like the rest.

    A ReLU follows the first convolution and the sum, for the convolutional counterpart; Hukkelås has none.
    """

    def __init__(self, channels: int, out: int, residual: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.shortcut = nn.Conv2d(channels, out, 1) if residual else None
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(self.conv2(self.relu1(self.conv1(x))))
        if self.shortcut is not None:
            y = y + self.pool(self.shortcut(x))
        out: Tensor = self.relu2(y)
        return out


def _hukkelas(residual: bool, num_classes: int, in_channels: int) -> nn.Module:
    stages = [_Stage(*ends, residual) for ends in ((32, 64), (64, 128), (128, 256))]
    return nn.Sequential(
        OrderedDict(
            [
                ("conv", nn.Conv2d(in_channels, 32, 7, padding=3)),
                ("relu", nn.ReLU()),
                *((f"stage{number}", stage) for number, stage in enumerate(stages, start=1)),
                ("flatten", nn.Flatten()),
                ("head", nn.Linear(4096, num_classes)),
            ]
        )
    )


def hukkelas(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Hukkelås' revised network: 1,207,825 parameters with his layer, or with that of May 2022."""
    return _hukkelas(False, num_classes, in_channels)


def hukkelas_residual(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Return the same with 1x1 shortcuts: 1,251,284 parameters."""
    return _hukkelas(True, num_classes, in_channels)


SCSNET = ((32, 1), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (256, 1))
"""Channels and stride of each 3x3 convolution."""


def batchelor_scsnet(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Batchelor's ScsNet: nine convolutions, the mean, a linear layer; 1,764,906 parameters with his layer.

    Raises ValueError for images that do not have three colours.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(standardise=_standardise("batchelor_scsnet", in_channels))
    channels = in_channels
    for number, (out, stride) in enumerate(SCSNET, start=1):
        layers[f"conv{number}"] = nn.Conv2d(channels, out, 3, stride, padding=1)
        layers[f"relu{number}"] = nn.ReLU()
        channels = out
    layers |= {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "head": nn.Linear(channels, num_classes)}
    return nn.Sequential(layers)


class Stem(nn.Conv2d):
    """A convolution that stays one: what converts layers leaves subclasses of nn.Conv2d alone, and says so."""


def batchelor_resnet(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Batchelor's ResNet18 without its pool, its stem a convolution in every variant; 11,169,098 parameters with his
    layer and norm=none. His has neither norms nor ReLUs.

    Raises ValueError for images that do not have three colours.
    """
    import torchvision  # seconds, which the other architectures need not pay

    network: nn.Module = torchvision.models.resnet18(weights=None, num_classes=num_classes)
    network.conv1 = Stem(in_channels, 64, 3, 2, padding=3, bias=False)
    network.maxpool = nn.Identity()
    first = _standardise("batchelor_resnet", in_channels)
    return nn.Sequential(OrderedDict([("standardise", first), ("resnet", network)]))


def _standardise(arch: str, in_channels: int) -> nn.Module:
    if in_channels != len(CIFAR10_MEAN):
        raise ValueError(f"data.channels={in_channels}: {arch} standardises three colours")
    return Standardise(CIFAR10_MEAN, CIFAR10_DEVIATION)


ASL = (32, 64, 64, 64, 128)
"""Channels of each 5x5 convolution."""


class DenseReLU(nn.Module):
    """A linear layer and a ReLU that belongs to the head: it stays where a variant takes the others away."""

    def __init__(self, features: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, out)

    def forward(self, x: Tensor) -> Tensor:
        """Return max(0, W x + b)."""
        y: Tensor = self.linear(x)
        return y.clamp_min(0)


def asl(num_classes: int = 29, in_channels: int = 3) -> nn.Module:
    """Wagner's network for the American Sign Language alphabet: five 5x5 convolutions, each with a pool, and two linear
    layers, for 64x64 pixels; 602,333 parameters with 29 classes, 602,338 with his layer (layer=pisoni).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = in_channels
    for number, out in enumerate(ASL, start=1):
        layers[f"conv{number}"] = nn.Conv2d(channels, out, 5, padding=2)
        layers[f"relu{number}"] = nn.ReLU()
        layers[f"pool{number}"] = nn.MaxPool2d(2)
        channels = out
    layers |= {"flatten": nn.Flatten(), "dense": DenseReLU(512, 256), "head": nn.Linear(256, num_classes)}
    return nn.Sequential(layers)
