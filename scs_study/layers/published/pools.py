"""The pools published with the layers. All keep the largest magnitude; they differ in ties, sign and edges."""

from __future__ import annotations

from typing import ClassVar, Self, cast

import torch.nn.functional as F
from torch import Tensor, nn

from scs_study.layers.pooling import check_geometry, max_abs_pool2d
from scs_study.layers.sizes import Size, pair
from scs_study.system import arguments

Pair = tuple[int, int]


class _Pool2d(nn.Module):
    """A pool with nn.MaxPool2d's geometry: (B, C, H, W) -> (B, C, H', W')."""

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.ceil_mode = kernel_size, padding, ceil_mode
        self.stride = kernel_size if stride is None else stride
        check_geometry(self.kernel_size, self.stride, padding, 1)

    @classmethod
    def from_pool(cls, pool: nn.MaxPool2d) -> Self:
        """Return the pool in the place of `pool`. Raises ValueError where that is dilated or asked for positions."""
        _check_plain(pool)
        return cls(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)

    def extra_repr(self) -> str:
        """Return the arguments as nn.MaxPool2d prints them."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, ceil_mode={self.ceil_mode}"
        )


def _check_plain(pool: nn.MaxPool2d) -> None:
    if pool.dilation not in (1, (1, 1)) or pool.return_indices:
        raise ValueError(
            "a published pool has no dilation and returns no positions, but nn.MaxPool2d was asked for one"
        )


class HoggAbsPool2d(_Pool2d):
    """Hogg's AbsPool, later Rohrer's: the larger of two pools, of x and of -x; of equal magnitudes the positive one."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the value of largest magnitude in each window, with its sign."""
        return max_abs_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


class RohrerJaxMaxAbsPool2d(_Pool2d):
    """MaxAbsPool of the JAX code: of equal magnitudes the negative one."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the value of largest magnitude in each window, with its sign."""
        return -max_abs_pool2d(-x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


class ZimonitromeMaxAbsPool2d(_Pool2d):
    """zimonitrome's MaxAbsPool2d: the largest magnitude itself, its sign dropped; another operator of the same name."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the largest magnitude in each window."""
        kernel, stride = pair(self.kernel_size, "kernel_size"), pair(self.stride, "stride")
        return F.max_pool2d(x.abs(), kernel, stride, pair(self.padding, "padding"), ceil_mode=self.ceil_mode)


class PisoniMaxAbsPool2d(nn.Module):
    """Pisoni's MaxAbsPool2D of Keras: windows side by side; of equal magnitudes the first of the window.

    pad_to_fit   zeros around an image that is no multiple of pool_size, half of them before it; else the rest is left
                 out.
    safe         False pads by the rest, as published, which fits only where twice the rest is a multiple of pool_size
                 (always for 2), and raises ValueError for another image.
    """

    _names: ClassVar[tuple[str, str]] = ("height", "width")

    def __init__(self, pool_size: Size, pad_to_fit: bool = False, *, safe: bool = True) -> None:
        super().__init__()
        self.pool_size = cast(Pair, arguments.at_least_one(pool_size, 2, "pool_size"))
        self.pad_to_fit, self.safe = pad_to_fit, safe

    @classmethod
    def from_pool(cls, pool: nn.MaxPool2d) -> Self:
        """Return the pool in the place of `pool`; ceil_mode becomes pad_to_fit.

        Raises ValueError where windows overlap or are padded, which this pool does not know.
        """
        _check_plain(pool)
        kernel = arguments.sizes(pool.kernel_size, 2, "kernel_size")
        if arguments.sizes(pool.stride, 2, "stride") != kernel or max(arguments.sizes(pool.padding, 2, "padding")) > 0:
            raise ValueError("Pisoni's pool knows only windows side by side: stride=kernel_size and padding=0")
        return cls(kernel, pool.ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """Return the value of largest magnitude in each window, with its sign: (B, C, H', W')."""
        if self.pad_to_fit:
            x = F.pad(x, self._around(x))
        _, at = F.max_pool2d(x.abs(), self.pool_size, return_indices=True)
        return x.flatten(-2).gather(-1, at.flatten(-2)).view(at.shape)

    def _around(self, x: Tensor) -> list[int]:
        around: list[int] = []
        for side, size, name in zip(
            reversed(x.shape[-2:]), reversed(self.pool_size), reversed(self._names), strict=True
        ):
            rest = side % size
            extra = -side % size if self.safe else rest
            if (side + extra) % size:
                raise ValueError(f"the published pool cannot pad {name} {side} to windows of {size}; safe=True does")
            around += [extra // 2, extra - extra // 2]
        return around

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"pool_size={self.pool_size}, pad_to_fit={self.pad_to_fit}"


POOLS: dict[str, type[_Pool2d] | type[PisoniMaxAbsPool2d]] = {
    "hogg": HoggAbsPool2d,
    "rohrer": HoggAbsPool2d,
    "rohrer_jax": RohrerJaxMaxAbsPool2d,
    "pisoni": PisoniMaxAbsPool2d,
    "zimonitrome": ZimonitromeMaxAbsPool2d,
}
