"""MaxAbsPool: pooling that keeps the value of largest magnitude, with its sign."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import max_pool2d

from scs_study.layers.autograd import chunks
from scs_study.layers.kernels import fused
from scs_study.layers.sizes import Size, pair
from scs_study.system import arguments

Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int], bool]


def max_abs_pool2d(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the value of largest magnitude in each window, with its sign: (B, C, H', W') from x (B, C, H, W).

    The geometry is max_pool2d's: stride defaults to the kernel size, padding never wins, ceil_mode keeps partial
    windows. Equal magnitudes of opposite sign give the positive one. The gradient goes to exactly one element of a
    window. After a ReLU it equals max_pool2d in values and gradients.

    Raises ValueError where the shapes do not fit. Source: `AbsPool` of the PyTorch layer's authors (systems.md 1.4).
    """
    return pool_with_indices(x, kernel_size, stride, padding, 1, ceil_mode)[0]


def pool_with_indices(
    x: Tensor, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size, ceil_mode: bool
) -> tuple[Tensor, Tensor]:
    """Return the pooled values and, as max_pool2d does, the flat position of each in its (H, W) plane."""
    stride = kernel_size if stride is None else stride
    check_geometry(kernel_size, stride, padding, dilation)
    arguments.check_images(x.shape)
    geometry = (
        pair(kernel_size, "kernel_size"),
        pair(stride, "stride"),
        pair(padding, "padding"),
        pair(dilation, "dilation"),
        ceil_mode,
    )
    if torch.compiler.is_compiling():
        return _larger_of_both_signs(x, geometry)
    values, indices = _MaxAbsPool.apply(x, geometry)
    return values, indices


def _larger_of_both_signs(x: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    high, high_at = torch.ops.aten.max_pool2d_with_indices(x, *geometry)
    low, low_at = torch.ops.aten.max_pool2d_with_indices(-x, *geometry)
    keep = high >= low
    return torch.where(keep, high, -low), torch.where(keep, high_at, low_at)


def _largest_magnitude(x: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """The same as `_larger_of_both_signs` with one search for positions instead of two, which is what costs time."""
    at = torch.ops.aten.max_pool2d_with_indices(x.abs(), *geometry)[1]
    if x.is_contiguous(memory_format=torch.channels_last):
        flat = x.permute(0, 2, 3, 1).flatten(1, 2).gather(1, at.permute(0, 2, 3, 1).flatten(1, 2))
        values = flat.view(at.shape[0], at.shape[2], at.shape[3], at.shape[1]).permute(0, 3, 1, 2)
    else:
        values = x.flatten(2).gather(2, at.flatten(2)).view(at.shape)
    kernel, stride, padding, dilation, ceil_mode = geometry
    high = max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    # The first of equal magnitudes was found; where it is the negative one, the positive one is wanted. Sums are looked
    # at before comparisons, which are slow on the CPU: one is 0 where magnitudes are equal, or all of a window is 0.
    if not bool((high + values).abs_().amin() > 0) and bool(((high == -values) & (values < 0)).any()):
        return _larger_of_both_signs(x, geometry)
    return values, at


def _empty_batch(like: Tensor, batch: int) -> Tensor:
    channels_last = like.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty((batch, *like.shape[1:]), dtype=like.dtype, device=like.device, memory_format=memory_format)


class _MaxAbsPool(Function):
    """(x, geometry) -> (values, indices), with the gradient sent along the indices in one step."""

    @staticmethod
    def forward(x: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
        kernel, stride, padding, dilation, _ = geometry
        if dilation == (1, 1) and fused.usable(x):
            size = torch.ops.aten.max_pool2d_with_indices(x.to("meta"), *geometry)[0].shape[2:]
            values, indices = fused.max_abs_pool(x, kernel, stride, padding, size)
            return values, indices
        if x.device.type != "cpu":
            return _larger_of_both_signs(x, geometry)
        found = found_at = None
        for chunk in chunks(x):
            part, part_indices = _largest_magnitude(x[chunk], geometry)
            if found is None or found_at is None:
                found, found_at = _empty_batch(part, x.shape[0]), _empty_batch(part_indices, x.shape[0])
            found[chunk], found_at[chunk] = part, part_indices
        assert found is not None
        assert found_at is not None
        return found, found_at

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, ctx.geometry = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # else an int64 tensor of zeros would be written for the indices
        ctx.save_for_backward(x, output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, None]:
        if grad is None:
            return None, None
        x, indices = ctx.saved_tensors
        kernel, stride, padding, dilation, _ = ctx.geometry
        if dilation == (1, 1) and fused.usable(grad) and not torch.is_grad_enabled():
            return fused.max_abs_pool_backward(grad, indices, kernel, stride, padding, x.shape[2:]), None
        return torch.ops.aten.max_pool2d_with_indices_backward(grad, x, *ctx.geometry, indices), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, ...], x: Tensor, geometry: Geometry) -> tuple[Any, Any]:
        x = x.movedim(in_dims[0], 0)
        values, indices = _MaxAbsPool.apply(x.flatten(0, 1), geometry)
        return (values.unflatten(0, x.shape[:2]), indices.unflatten(0, x.shape[:2])), (0, 0)


class MaxAbsPool2d(nn.Module):
    """Pooling that keeps the value of largest magnitude with its sign: (B, C, H, W) -> (B, C, H', W').

    The arguments are nn.MaxPool2d's, in its order. With return_indices, forward returns (values, indices) as
    nn.MaxPool2d does. Raises ValueError for sizes that fit no pool.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode
        check_geometry(self.kernel_size, self.stride, padding, dilation)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the pooled values, with their positions if return_indices was asked for; as in nn.MaxPool2d, x may be
        a single (C, H, W)."""
        values, indices = pool_with_indices(
            x if x.dim() == 4 else x.unsqueeze(0),
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
        )
        if x.dim() == 3:
            values, indices = values.squeeze(0), indices.squeeze(0)
        return (values, indices) if self.return_indices else values

    def extra_repr(self) -> str:
        """Return the arguments as nn.MaxPool2d prints them."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


def check_geometry(kernel_size: Size, stride: Size, padding: Size, dilation: Size) -> None:
    """Raise ValueError unless the sizes make a pool: positive, and padded by at most half a kernel, as max_pool2d."""
    kernel = arguments.at_least_one(kernel_size, 2, "kernel_size")
    arguments.at_least_one(stride, 2, "stride")
    arguments.at_least_one(dilation, 2, "dilation")
    arguments.pool_padding(padding, kernel)
