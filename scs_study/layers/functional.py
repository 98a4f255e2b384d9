"""The mathematics of the sharpened layers, as functions of tensors.

Both layers end in the same step, the signed power y = sgn(c) (|c| + eps)^p, written out in `autograd.py`.
They differ in c: the sharpened cosine similarity divides the convolution by the kernel's norm and by the patch's norm,
damped by q; the sharpened dot product (the paper's SharpenedSDP) is the convolution itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from scs_study.layers import cpu
from scs_study.layers.autograd import Exponent, signed_power
from scs_study.layers.kernels import layer as gpu
from scs_study.layers.sizes import Geometry, Size, pair
from scs_study.system import arguments

# Below this length a kernel is divided by this constant instead of its length, which keeps an all-zero kernel finite.
MIN_KERNEL_NORM = 1e-12

Padding = Size | str
Pool = Callable[[Tensor], Tensor]


def sharpened_cosine_similarity(
    x: Tensor,
    weight: Tensor,
    p: Tensor | float,
    q: Tensor | float,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    groups: int = 1,
    eps: float = 1e-6,
) -> Tensor:
    """Return sgn(c) (|c| + eps)^p, shape (B, O, H', W'), with c = conv(x, w/||w||) / (sqrt(sum x^2 + eps) + q).

    x is (B, C, H, W), weight (O, C/groups, kh, kw), p (O,) or a scalar, q a scalar. The sum runs over the patch that
    the kernel sees, within its channel group; padded positions count as zeros in it. At c = 0 the output is 0 and so is
    every gradient through c. A kernel of zeros gives zeros. Norm and power are computed in float32 at least; the result
    has the promoted dtype of x and weight, so float32 for a float32 layer under autocast.

    Raises ValueError where the shapes do not fit. Source: the May 2022 PyTorch layer (systems.md 1.1, 1.7).
    """
    return cosine_power(x, weight, p, q, stride=stride, padding=padding, dilation=1, groups=groups, eps=eps)


def sharpened_dot_product(
    x: Tensor,
    weight: Tensor,
    p: Tensor | float,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    groups: int = 1,
    eps: float = 1e-6,
) -> Tensor:
    """Return sgn(z) (|z| + eps)^p, shape (B, O, H', W'), with z = conv(x, weight): the convolution without norms.

    x is (B, C, H, W), weight (O, C/groups, kh, kw), p (O,) or a scalar. At z = 0 the output is 0 and so is every
    gradient through z. The power is computed in float32 at least; the result has the promoted dtype of x and weight.

    Raises ValueError where the shapes do not fit. Source: SharpenedSDP in the paper; its exact form is this project's
    reading of it (systems.md 7).
    """
    return dot_power(x, weight, p, stride=stride, padding=padding, dilation=1, groups=groups, eps=eps)


def cosine_power(
    x: Tensor,
    weight: Tensor,
    p: Tensor | float,
    q: Tensor | float,
    *,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
    eps: float,
    pool: Pool | None = None,
) -> Tensor:
    """Return what `sharpened_cosine_similarity` returns, for any dilation, then pooled.

    pool: one that keeps the largest value or magnitude of a window; the power may come after it then, for less work.
    """
    check_operands(x, weight, p, groups, eps)
    arguments.check_floor(q.shape if isinstance(q, Tensor) else ())
    x, geometry = _resolved(x, weight, stride, padding, dilation, groups, eps)
    return _computed(_cosine_power, x, weight, p, q, geometry, pool, MIN_KERNEL_NORM)


def _cosine_power(
    x: Tensor, weight: Tensor, p: Exponent, q: Tensor | float, *, geometry: Geometry, pool: Pool | None
) -> Tensor:
    kernel, groups, eps = tuple(weight.shape[2:]), geometry.groups, geometry.eps
    where = geometry.stride, geometry.padding, geometry.dilation
    z = F.conv2d(x, unit_kernels(weight), None, *where, groups)
    work, result = work_dtype(x, weight), torch.promote_types(x.dtype, weight.dtype)
    energy = box_sum(group_energy(x.to(work), groups), kernel, *where)
    q = q.to(work).reshape(()) if isinstance(q, Tensor) else q
    scale = ((energy + eps).sqrt() + q).reciprocal()
    if groups == 1 and pool is not None:
        return signed_power(pool(z.to(work) * scale), None, _exponent(p, work), eps).to(result)
    return _pooled(signed_power(z.to(work), scale, _exponent(p, work), eps).to(result), pool)


def dot_power(
    x: Tensor,
    weight: Tensor,
    p: Tensor | float,
    *,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
    eps: float,
    pool: Pool | None = None,
) -> Tensor:
    """Return what `sharpened_dot_product` returns, for any dilation, then pooled; pool as for `cosine_power`."""
    check_operands(x, weight, p, groups, eps)
    x, geometry = _resolved(x, weight, stride, padding, dilation, groups, eps)
    return _computed(_dot_power, x, weight, p, 0.0, geometry, pool, None)


def _dot_power(
    x: Tensor, weight: Tensor, p: Exponent, _: Tensor | float, *, geometry: Geometry, pool: Pool | None
) -> Tensor:
    z = F.conv2d(x, weight, None, geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    work = work_dtype(x, weight)
    result = torch.promote_types(x.dtype, weight.dtype)
    return signed_power(_pooled(z.to(work), pool), None, _exponent(p, work), geometry.eps).to(result)


def _resolved(
    x: Tensor, weight: Tensor, stride: Size, padding: Padding, dilation: Size, groups: int, eps: float
) -> tuple[Tensor, Geometry]:
    """Return x, padded where its sides differ, and the geometry that is left to do."""
    stride, dilation = pair(stride, "stride"), pair(dilation, "dilation")
    x, sides = pad_uneven(x, resolve_padding(padding, tuple(weight.shape[2:]), stride, dilation))
    return x, Geometry(stride, sides, dilation, groups, eps)


def _computed(
    plain: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    p: Exponent,
    q: Tensor | float,
    geometry: Geometry,
    pool: Pool | None,
    least: float | None,
) -> Tensor:
    """Return the pooled layer: by a CPU's compiled loops or a GPU's kernels where they take it, else by `plain`.

    A depthwise layer's pool comes after its power, as it does in `plain`, and so does one that neither takes in.
    """
    after = pool if geometry.groups > 1 and least is not None else None
    window = cpu.window_of(None if after else pool)
    alone = functools.partial(plain, geometry=geometry, pool=None if after or window is None else pool)
    settings = cpu.Settings(geometry, window or cpu.NO_WINDOW, least, alone, cpu.products())
    if gpu.takes(x, weight, settings):
        return _pooled(gpu.power(x, weight, p, q, settings), after if window else pool)
    if window and cpu.takes(x, weight, p, q, settings):
        return _pooled(cpu.power(x, weight, p, q, settings), after)
    return plain(x, weight, p, q, geometry=geometry, pool=pool)


def _pooled(y: Tensor, pool: Pool | None) -> Tensor:
    return y if pool is None else pool(y)


def unit_kernels(weight: Tensor) -> Tensor:
    """Return the kernels (O, C, kh, kw) scaled to length 1, in their own dtype; a kernel of zeros stays zero."""
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    length = wide.square().sum((1, 2, 3), keepdim=True).clamp_min(MIN_KERNEL_NORM**2).sqrt()
    return (wide / length).to(weight.dtype)


def group_energy(x: Tensor, groups: int) -> Tensor:
    """Return the sum of squares over each channel group: (B, groups, H, W) from x (B, C, H, W)."""
    squares = x.square()
    if groups == x.shape[1]:
        return squares
    return squares.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]).sum(2)


def box_sum(
    maps: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """Return the sums (B, G, H', W') of maps (B, G, H, W) over the windows that such a convolution sees.

    Not a convolution with ones, which would run in reduced precision (TF32, autocast): weights may, norms may not.
    """
    if dilation == (1, 1) and all(2 * side <= k for side, k in zip(padding, kernel, strict=True)) and max(kernel) > 1:
        return _window_sum(maps, kernel, stride, padding)
    if padding != (0, 0):
        maps = F.pad(maps, (padding[1], padding[1], padding[0], padding[0]))
    if kernel == (1, 1):
        return maps[..., :: stride[0], :: stride[1]]
    if dilation == (1, 1):
        return _window_sum(maps, kernel, stride, (0, 0))
    for axis in (0, 1):
        k, s, d = kernel[axis], stride[axis], dilation[axis]
        last = maps.shape[2 + axis] - d * (k - 1)
        steps = [slice(i * d, i * d + last, s) for i in range(k)]
        shifted = [maps[:, :, step] if axis == 0 else maps[..., step] for step in steps]
        maps = functools.reduce(torch.add, shifted)
    return maps


def _window_sum(maps: Tensor, kernel: tuple[int, ...], stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    if torch.compiler.is_exporting():  # ONNX's average pool knows no divisor, and torch's exporter drops it silently
        return F.avg_pool2d(maps, kernel, stride, padding) * math.prod(kernel)
    return F.avg_pool2d(maps, kernel, stride, padding, divisor_override=1)


def resolve_padding(
    padding: Padding, kernel: tuple[int, ...], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the padding as (left, right, top, bottom); 'same' puts an odd position right and below, as Conv2d does.

    Raises ValueError for another word, for 'same' with a stride, and for a negative padding.
    """
    (top, bottom), (left, right) = arguments.padding_sides(padding, kernel, stride, dilation)
    return left, right, top, bottom


def pad_uneven(x: Tensor, sides: tuple[int, int, int, int]) -> tuple[Tensor, tuple[int, int]]:
    """Return x and the (vertical, horizontal) padding still to apply: x itself is padded only where sides differ."""
    left, right, top, bottom = sides
    if left == right and top == bottom:
        return x, (top, left)
    return F.pad(x, sides), (0, 0)


def work_dtype(x: Tensor, weight: Tensor) -> torch.dtype:
    """Return the dtype of norm and power: float32, or the operands' own where that is wider."""
    return torch.promote_types(torch.promote_types(x.dtype, weight.dtype), torch.float32)


def check_operands(x: Tensor, weight: Tensor, p: Tensor | float, groups: int, eps: float) -> None:
    """Raise ValueError where x, weight, p, groups or eps cannot belong together."""
    arguments.check_operands(x.shape, weight.shape, p.shape if isinstance(p, Tensor) else (), groups, eps)


def _exponent(p: Tensor | float, dtype: torch.dtype) -> Tensor | float:
    return p.to(dtype).reshape(-1) if isinstance(p, Tensor) else p
