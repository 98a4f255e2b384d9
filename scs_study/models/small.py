"""The small networks of Rohrer's gallery, demos and tests, and the one of the Keras blog post (systems.md 2 to 4)."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from scs_study.models.blocks import Pair, Plain, stack


def rohrer37k(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Gallery file cifar10_80_37086: 36,862 parameters with SCS."""
    stages = (Plain(((56, 5, 0),), 2), Pair(56, 56, 0, 2), Plain(((56, 3, 0),), 4))
    return stack(stages, 56, num_classes, in_channels)


def fashion7659(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """Gallery file fashion_90_7659: 7,669 parameters with SCS."""
    stages = (Plain(((12, 5, 0),), 2), Plain(((12, 5, 1),), 2), Plain(((12, 5, 1),), 4))
    return stack(stages, 12, num_classes, in_channels)


def _pairs(first: int, width: int, num_classes: int, in_channels: int) -> nn.Module:
    """Gallery files fashion_90_3423, fashion_90_2764 and fashion_10: one plain stage, three pairs."""
    stages = (Plain(((first, 3, 0),), 2), Pair(first, width, 1, 2), Pair(width, width, 1, 2), Pair(width, width, 1, 4))
    return stack(stages, width, num_classes, in_channels)


def fashion3423(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """Gallery file fashion_90_3423: 3,423 parameters with SCS."""
    return _pairs(26, 26, num_classes, in_channels)


def fashion2764(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """Gallery file fashion_90_2764: 2,757 parameters with SCS; the 7 of the name's are its April layers' alphas."""
    return _pairs(32, 20, num_classes, in_channels)


def fashion_10(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """Gallery file fashion_10: 174,617 parameters with SCS."""
    return _pairs(400, 200, num_classes, in_channels)


def demo_fashion(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """demo_fashion_mnist.py: 1,761 parameters with SCS; its pools leave out what does not fill a window."""
    stages = (Plain(((27, 3, 1),), 2), Pair(27, 18, 0, 2), Pair(18, 18, 0, 4))
    return stack(stages, 18, num_classes, in_channels, ceil_mode=False)


def demo_cifar10(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """demo_cifar10.py: 14,221 parameters with SCS."""
    stages = (Plain(((16, 5, 0),), 2), Plain(((16, 5, 1),), 2), Plain(((16, 5, 1),), 4))
    return stack(stages, 16, num_classes, in_channels)


def demo_lightning(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """demo_fashion_mnist_lightning.py: 11,021 parameters with SCS, on images of 28x28."""
    stages = (Plain(((8, 3, 0),), 2), Plain(((16, 3, 1),), 2), Plain(((32, 3, 1),), 2))
    return stack(stages, 512, num_classes, in_channels)


def blog_keras(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Return the Keras snippet of the blog post with its default, no padding: 104,781 parameters with SCS."""
    stages = (Plain(((32, 3, 0),), 2), Plain(((64, 3, 0),), 2), Plain(((128, 3, 0),), 2))
    return stack(stages, 1152, num_classes, in_channels)


def _test_net(shared: bool, num_classes: int, in_channels: int) -> nn.Module:
    stages = (Plain(((10, 3, 1),), 2), Pair(20, 8, 0, 2, shared=shared), Pair(32, 10, 0, 4))
    return stack(stages, 10, num_classes, in_channels, ceil_mode=False)


def mnist1233(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """pytorch/test_mnist.py: 1,233 parameters with SCS."""
    return _test_net(False, num_classes, in_channels)


def mnist1053(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """Return the same as it was in April 2022: its first depthwise kernels shared by all channels; 1,053 parameters."""
    return _test_net(True, num_classes, in_channels)


class Unscaled(nn.Module):
    """Images in [0, 1] as their bytes are, 0 to 255. Part of the network, so that attacks and maps stay in [0, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """Return 255 x."""
        return x * 255


def mnist1233_unscaled(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """jax/test_mnist.py: `mnist1233` on unscaled images. What is 255 there is 255 times the floor of q here."""
    network = _test_net(False, num_classes, in_channels)
    return nn.Sequential(OrderedDict([("unscaled", Unscaled()), *network.named_children()]))
