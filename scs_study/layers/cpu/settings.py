"""What a layer does beside its kernels, exponents and floor, and whether the compiled loops do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual

from scs_study.layers.cpu.choice import chosen_loops
from scs_study.layers.pooling import MaxAbsPool2d
from scs_study.layers.sizes import Geometry, Sides, pair

MOST_PLACES = 256
"""A place in a window is kept in a byte."""
_SMALLEST = torch.finfo(torch.float32).tiny
PRODUCTS = (torch.float32, torch.bfloat16)
POOLS = (nn.MaxPool2d, MaxAbsPool2d)


@dataclass(frozen=True)
class Window:
    """Windows of size (height, width) that do not overlap; partial ones at the edge count where `ceil` says so.

    by_size: the largest magnitude wins, not the largest value.
    """

    size: Sides
    ceil: bool
    by_size: bool

    def counts(self, lengths: Sides) -> Sides:
        """Return how many windows there are in (height, width)."""
        (height, width), (kh, kw) = lengths, self.size
        return (-(-height // kh), -(-width // kw)) if self.ceil else (height // kh, width // kw)


NO_WINDOW = Window((1, 1), False, True)


@dataclass(frozen=True)
class Settings:
    """A layer with its pool.

    least: the length below which a kernel counts as this long; None for a layer without norms.
    plain: the same function of (x, weight, p, q) in torch's operations, for derivatives of derivatives.
    products: what the convolutions' operands and results are rounded to; everything else is float32.
    """

    geometry: Geometry
    window: Window
    least: float | None
    plain: Callable[..., Tensor]
    products: torch.dtype = torch.float32

    @property
    def depthwise(self) -> bool:
        """Whether every channel has norms of its own."""
        return self.least is not None and self.geometry.groups > 1

    @property
    def scaled(self) -> bool:
        """Whether all channels share their norms."""
        return self.least is not None and self.geometry.groups == 1

    def outputs(self, x: Tensor, weight: Tensor) -> Sides:
        """Return height and width of the convolution's result."""
        (sh, sw), (ph, pw), (dh, dw) = self.geometry.stride, self.geometry.padding, self.geometry.dilation
        *_, height, width = x.shape
        *_, kh, kw = weight.shape
        return (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1, (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1


def window_of(pool: Callable[[Tensor], Tensor] | None) -> Window | None:
    """Return the window of a pool that the layer can take in, NO_WINDOW of None; None of any other."""
    if pool is None:
        return NO_WINDOW
    if not isinstance(pool, POOLS) or type(pool) not in POOLS:
        return None
    size, stride, padding, dilation = (
        pair(value, "") for value in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    )
    fits = size == stride and padding == (0, 0) and dilation == (1, 1) and size[0] * size[1] <= MOST_PLACES
    if not fits or pool.return_indices or pool._forward_hooks or pool._forward_pre_hooks:
        return None
    return Window(size, bool(pool.ceil_mode), isinstance(pool, MaxAbsPool2d))


def products() -> torch.dtype:
    """Return the precision of convolutions here and now: torch.autocast's where it is on."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32


def takes(x: Tensor, weight: Tensor, p: Tensor | float, q: Tensor | float | None, settings: Settings) -> bool:
    """Return whether the compiled loops compute this layer; False where torch's operations have to."""
    if torch.compiler.is_compiling() or settings.products not in PRODUCTS:
        return False
    if torch._C._are_functorch_transforms_active() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return False
    for tensor in (x, weight, p, q):
        if isinstance(tensor, Tensor):
            plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
            if not plain or not tensor.is_cpu or tensor.dtype != torch.float32:
                return False
            if unpack_dual(tensor).tangent is not None:  # type: ignore[no-untyped-call]  # it would be lost here
                return False
    geometry = settings.geometry
    if settings.depthwise and not geometry.groups == x.shape[1] == weight.shape[0]:
        return False
    if geometry.dilation != (1, 1):
        return False
    if x.numel() == 0 or min(settings.window.counts(settings.outputs(x, weight))) < 1:
        return False
    # Below the smallest normal number the compiled logarithm is not one.
    return geometry.eps >= _SMALLEST and chosen_loops() is not None
