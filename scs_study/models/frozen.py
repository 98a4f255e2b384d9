"""A new head on a trained network that learns nothing more (systems.md 5, the public issue on a frozen ResNet50)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from scs_study.models.resnet import IMAGENET_DEVIATION, IMAGENET_MEAN, Standardise, resnet18, resnet20, resnet50

BACKBONE = "backbone"
KERNELS = 128
"""Of the head's 1x1 layer: every place of the last feature map is compared with so many kernels."""
CUT = ("avgpool", "fc", "linear")
"""What a backbone ends with and a head takes the place of, by its names in the ResNets."""


class Frozen(nn.Sequential):
    """A trained network whose parameters get no gradient and whose norms and dropouts stay as in evaluation."""

    def __init__(self, modules: OrderedDict[str, nn.Module]) -> None:
        super().__init__(modules)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation mode, whatever the network around it is set to."""
        return super().train(False)


def frozen_resnet18(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """torchvision's ResNet18 up to its last feature map, frozen, and a head of 66,954 parameters with a convolution."""
    return _headed(resnet18(in_channels=in_channels), num_classes)


def frozen_resnet20(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """ResNet20 up to its last feature map, frozen, and a head of 9,610 parameters with a convolution."""
    return _headed(resnet20(in_channels=in_channels), num_classes)


def frozen_resnet50(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """torchvision's ResNet50 up to its last feature map, frozen, and a head of 263,562 with a convolution."""
    return _headed(resnet50(in_channels=in_channels), num_classes)


def frozen_resnet18_imagenet(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """`frozen_resnet18` on images standardised as torchvision's weights know them."""
    return _headed(resnet18(), num_classes, _colours("frozen_resnet18", in_channels))


def frozen_resnet50_imagenet(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """`frozen_resnet50` on images standardised as torchvision's weights know them."""
    return _headed(resnet50(), num_classes, _colours("frozen_resnet50", in_channels))


def _colours(arch: str, in_channels: int) -> nn.Module:
    if in_channels != len(IMAGENET_MEAN):
        raise ValueError(f"data.channels={in_channels}: {arch}_imagenet standardises three colours; choose arch={arch}")
    return Standardise(IMAGENET_MEAN, IMAGENET_DEVIATION)


def _headed(network: nn.Module, num_classes: int, first: nn.Module | None = None) -> nn.Module:
    """The network's feature maps, a 1x1 convolution, ReLU, the mean over places, and a linear layer.

    Without the ReLU the convolutional head is a linear classifier of mean features.
    """
    children = dict(network.named_children())
    (last,) = (module for name, module in children.items() if name in CUT and isinstance(module, nn.Linear))
    kept = {name: module for name, module in children.items() if name not in CUT}
    layers: dict[str, nn.Module] = {
        BACKBONE: Frozen(OrderedDict({**({} if first is None else {"standardise": first}), **kept})),
        "conv": nn.Conv2d(last.in_features, KERNELS, 1),
        "relu": nn.ReLU(),
        "mean": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "head": nn.Linear(KERNELS, num_classes),
    }
    return nn.Sequential(OrderedDict(layers))


def of_backbone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a whole network by the names that they have in the frozen one, without its own head's."""
    kept = {name: value for name, value in tensors.items() if name.partition(".")[0] not in CUT}
    return {f"{BACKBONE}.{name}": value for name, value in kept.items()}


def learning(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield paths and modules of a network, in all places where they stand, but for what is frozen."""
    frozen: tuple[str, ...] = ()
    for path, module in network.named_modules(remove_duplicate=False):
        if isinstance(module, Frozen):
            frozen = (*frozen, f"{path}.")
        elif not path.startswith(frozen):
            yield path, module
