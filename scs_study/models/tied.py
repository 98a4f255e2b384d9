"""Our own networks for MNIST with few parameters: a depthwise and pointwise pair that is applied several times.

One pair's kernels serve at several depths, each with a norm of its own, so depth costs 2 parameters a channel; what is
left of the image at the end, 4x4 places, is weighed place by place and channel by channel.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from scs_study.models.blocks import depthwise_pointwise


class Repeated(nn.Module):
    """A pair of width channels applied once for each of `pools`: x becomes pool(relu(norm(pair(x)) + x)); pool 1: none.

    The norms alone differ from one time to the next.
    """

    def __init__(self, width: int, pools: Sequence[int]) -> None:
        super().__init__()
        self.depthwise, self.pointwise = depthwise_pointwise(width, width, width, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in pools)
        self.relu = nn.ReLU()
        self.pools = nn.ModuleList(nn.MaxPool2d(size, ceil_mode=True) if size > 1 else nn.Identity() for size in pools)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (B, width, height, width) of images (B, width, H, W)."""
        for norm, pool in zip(self.norms, self.pools, strict=True):
            x = pool(self.relu(norm(self.pointwise(self.depthwise(x))) + x))
        return x


def _tied(width: int, pairs: Sequence[Sequence[int]], num_classes: int, in_channels: int) -> nn.Module:
    """A network for 28x28: every second place of a 3x3 convolution, then pairs and how often each, down to 4x4."""
    repeated = [Repeated(width, pools) for pools in pairs]
    return nn.Sequential(
        OrderedDict(
            [
                ("stem", nn.Conv2d(in_channels, width, 3, 2, padding=1, bias=False)),
                ("norm", nn.BatchNorm2d(width)),
                ("relu", nn.ReLU()),
                *((f"pair{number}", pair) for number, pair in enumerate(repeated, start=1)),
                ("places", nn.Conv2d(width, width, 4, groups=width, bias=False)),
                ("flatten", nn.Flatten()),
                ("head", nn.Linear(width, num_classes)),
            ]
        )
    )


def tied12(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """12 channels, one pair four times: 802 parameters with convolutions, 854 with SCS."""
    return _tied(12, [(1, 2, 1, 2)], num_classes, in_channels)


def tied13(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """13 channels, one pair four times: 881 parameters with convolutions, 937 with SCS."""
    return _tied(13, [(1, 2, 1, 2)], num_classes, in_channels)


def tied14(num_classes: int = 10, in_channels: int = 1) -> nn.Module:
    """14 channels, two pairs twice each: 1,284 parameters with convolutions, 1,374 with SCS."""
    return _tied(14, [(1, 2), (1, 2)], num_classes, in_channels)
