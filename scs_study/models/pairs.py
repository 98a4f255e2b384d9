"""Our networks of depthwise and pointwise pairs whose widths are a setting (arch.widths): the first is that of a 3x3
convolution, each further one that of a pair.

After one pool nothing is padded or pooled: every pair takes a pixel off each side, and what is left is averaged.
A pair that is applied once more costs the parameters of a norm.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from scs_study.models.blocks import depthwise_pointwise


class Pairs(nn.Module):
    """Pairs from each of `widths` to the next, each followed by a norm and a ReLU.

    tied: pairs between the same widths are one, with a norm of its own each time.
    """

    def __init__(self, widths: Sequence[int], tied: bool) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        kinds = list(dict.fromkeys(steps)) if tied else steps
        self.order = [kinds.index(step) if tied else number for number, step in enumerate(steps)]
        self.pairs = nn.ModuleList(
            nn.Sequential(*depthwise_pointwise(before, before, after, padding=0, bias=False)) for before, after in kinds
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _, after in steps)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (B, widths[-1], H - 2 n, W - 2 n) of n pairs for images (B, widths[0], H, W)."""
        for kind, norm in zip(self.order, self.norms, strict=True):
            x = self.relu(norm(self.pairs[kind](x)))
        return x


def _network(widths: Sequence[int], tied: bool, num_classes: int, in_channels: int) -> nn.Module:
    if len(widths) < 2:
        raise ValueError(f"arch.widths={list(widths)}: at least two, the first convolution's and each pair's")
    return nn.Sequential(
        OrderedDict(
            [
                ("stem", nn.Conv2d(in_channels, widths[0], 3, bias=False)),
                ("pool", nn.MaxPool2d(2, ceil_mode=True)),
                ("norm", nn.BatchNorm2d(widths[0])),
                ("relu", nn.ReLU()),
                ("pairs", Pairs(widths, tied)),
                ("mean", nn.AdaptiveAvgPool2d(1)),
                ("flatten", nn.Flatten()),
                ("head", nn.Linear(widths[-1], num_classes)),
            ]
        )
    )


def pairs(num_classes: int = 10, in_channels: int = 1, widths: Sequence[int] = (7, 10, 10, 11, 12)) -> nn.Module:
    """Pairs that share nothing."""
    return _network(widths, False, num_classes, in_channels)


def tied(num_classes: int = 10, in_channels: int = 1, widths: Sequence[int] = (16, 16, 16, 16, 16)) -> nn.Module:
    """Pairs of which those between the same widths are one."""
    return _network(widths, True, num_classes, in_channels)
