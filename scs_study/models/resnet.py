"""The residual networks: torchvision's ResNet18 and ResNet50, and the ResNet20 of He et al. for 32x32 images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Of red, green and blue in [0, 1], as torchvision's documentation of its models gives them."""


def resnet18(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """torchvision's ResNet18 with a head of 10 classes in place of 1000: 11,181,642 parameters (paper 3.1, A.1)."""
    return _torchvisions("resnet18", num_classes, in_channels)


def resnet50(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """torchvision's ResNet50, of bottlenecks 1x1, 3x3, 1x1, with a head of 10 classes: 23,528,522 parameters."""
    return _torchvisions("resnet50", num_classes, in_channels)


def _torchvisions(name: str, num_classes: int, in_channels: int) -> nn.Module:
    import torchvision  # seconds, which the other architectures need not pay

    network: nn.Module = getattr(torchvision.models, name)(weights=None)
    assert isinstance(network.fc, nn.Linear)
    network.fc = nn.Linear(network.fc.in_features, num_classes)
    if in_channels != 3:
        network.conv1 = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # torchvision's own law
    return network


def resnet20(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """ResNet20 for CIFAR-10, 269,722 parameters: three stages of three blocks, 16, 32 and 64 channels (systems.md 5).

    Shortcuts are of option A: no parameters, every second pixel, and zeros for the new channels. nn.Conv2d's own
    initial law here; systems.md 5 says what the public code draws.
    """
    return _ResNet20(num_classes, in_channels)


def resnet20_idelbayev(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """`resnet20` that standardises its images by ImageNet's mean and deviation, as the public code does before it
    (systems.md 5). Here it is part of the network, so that attacks and saliency maps go on in pixels in [0, 1].

    Raises ValueError for images that do not have three colours.
    """
    if in_channels != len(IMAGENET_MEAN):
        raise ValueError(
            f"data.channels={in_channels}: resnet20_idelbayev standardises three colours; choose arch=resnet20"
        )
    return _ResNet20(num_classes, in_channels, Standardise(IMAGENET_MEAN, IMAGENET_DEVIATION))


class Standardise(nn.Module):
    """(x - mean) / deviation of each channel. Constants, which a state dict does not hold: the public one has none."""

    def __init__(self, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.get_buffer("mean")) / self.get_buffer("deviation")


class _Block(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu2 = nn.ReLU()
        self.stride, self.new = stride, out - channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        if self.new:
            x = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new // 2, self.new // 2))
        out: Tensor = self.relu2(x + y)
        return out


class _ResNet20(nn.Module):
    def __init__(self, num_classes: int, in_channels: int, first: nn.Module | None = None) -> None:
        super().__init__()
        self.standardise = first or nn.Identity()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu1 = nn.ReLU()
        self.layer1 = nn.Sequential(_Block(16, 16, 1), _Block(16, 16, 1), _Block(16, 16, 1))
        self.layer2 = nn.Sequential(_Block(16, 32, 2), _Block(32, 32, 1), _Block(32, 32, 1))
        self.layer3 = nn.Sequential(_Block(32, 64, 2), _Block(64, 64, 1), _Block(64, 64, 1))
        self.linear = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.relu1(self.bn1(self.conv1(self.standardise(x)))))))
        out: Tensor = self.linear(torch.mean(x, dim=(2, 3)))
        return out
