"""The mathematics of the studied layers as pure functions of arrays, images as (batch, channels, height, width)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from scs_study.system import arguments
from scs_study.system.arguments import Sides, Size

# Below this length a kernel is divided by this constant instead of its length, which keeps an all-zero kernel finite.
MIN_KERNEL_NORM = 1e-12
Padding = Size | str


def sharpened_cosine_similarity(
    x: Array,
    weight: Array,
    p: ArrayLike,
    q: ArrayLike,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    eps: float = 1e-6,
    kernel_eps: float | None = None,
) -> Array:
    """Return sgn(c) (|c| + eps)^p, (B, O, H', W'), with c = conv(x, w/||w||) / (sqrt(sum x^2 + eps) + q).

    x is (B, C, H, W), weight (O, C/groups, kh, kw), p (O,) or one number, q one number. At c = 0 the output is 0 and so
    is every gradient through c; a kernel of zeros gives zeros. Norm and power are computed in float32 at least.

    kernel_eps: added under the root of a kernel's norm, as the public JAX code does; None is the studied layer.
    Raises ValueError where the shapes do not fit. Equals `scs_study.layers.sharpened_cosine_similarity` of torch.
    """
    _check(x, weight, p, groups, eps)
    arguments.check_floor(jnp.shape(q))
    steps, dilations, sides = _geometry(weight, stride, padding, dilation)
    work = jnp.promote_types(jnp.promote_types(x.dtype, weight.dtype), jnp.float32)
    z = _convolution(x, _unit(weight, work, kernel_eps).astype(weight.dtype), steps, sides, dilations, groups)
    energy = jnp.square(x.astype(work)).reshape(x.shape[0], groups, -1, *x.shape[2:]).sum(2)
    window = (1, 1, *weight.shape[2:])
    # From a 0 of numpy: one of JAX is not known to be 0 under jit, and the sum then has no gradient.
    sums = lax.reduce_window(
        energy, np.zeros((), work), lax.add, window, (1, 1, *steps), ((0, 0), (0, 0), *sides),
        window_dilation=(1, 1, *dilations),
    )  # fmt: skip
    length = jnp.sqrt(sums + eps) + jnp.asarray(q, work).reshape(())
    c = z.astype(work) / jnp.repeat(length, weight.shape[0] // groups, axis=1)
    return _signed_power(c, p, eps).astype(jnp.promote_types(x.dtype, weight.dtype))


def sharpened_dot_product(
    x: Array,
    weight: Array,
    p: ArrayLike,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    eps: float = 1e-6,
) -> Array:
    """Return sgn(z) (|z| + eps)^p, (B, O, H', W'), with z = conv(x, weight); arguments and errors as above."""
    _check(x, weight, p, groups, eps)
    steps, dilations, sides = _geometry(weight, stride, padding, dilation)
    work = jnp.promote_types(jnp.promote_types(x.dtype, weight.dtype), jnp.float32)
    z = _convolution(x, weight, steps, sides, dilations, groups).astype(work)
    return _signed_power(z, p, eps).astype(jnp.promote_types(x.dtype, weight.dtype))


def max_abs_pool2d(
    x: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    *,
    magnitudes: bool = True,
) -> Array:
    """Return the value of largest magnitude in each window, with its sign: (B, C, H', W') from x (B, C, H, W).

    The geometry is torch's max_pool2d's; equal magnitudes of opposite sign give the positive one, as there.

    magnitudes: False looks for the largest value, as torch's max_pool2d.
    Raises ValueError where the sizes make no pool.
    """
    kernel, steps, around = pool_geometry(kernel_size, stride, padding)
    arguments.check_images(x.shape)
    sides = [
        (pad, pad + _behind(size, k, s, pad, ceil_mode))
        for size, k, s, pad in zip(x.shape[2:], kernel, steps, around, strict=True)
    ]
    if any(size + sum(side) < k for size, side, k in zip(x.shape[2:], sides, kernel, strict=True)):
        raise ValueError(f"an image of {x.shape[2:]} pixels is smaller than the pool's window {kernel}")
    lowest = np.array(-np.inf, x.dtype)

    def largest(values: Array) -> Array:
        found: Array = lax.reduce_window(
            values, lowest, lax.max, (1, 1, *kernel), (1, 1, *steps), ((0, 0), (0, 0), *sides)
        )
        return found

    if not magnitudes:
        return largest(x)
    high, low = largest(x), largest(-x)
    return jnp.where(high >= low, high, -low)


def pool_geometry(
    kernel_size: object, stride: object, padding: object
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return (kernel, stride, padding) of a pool, two numbers each. Raises ValueError where they make none."""
    kernel = arguments.at_least_one(kernel_size, 2, "kernel_size")
    steps = kernel if stride is None else arguments.at_least_one(stride, 2, "stride")
    return kernel, steps, arguments.pool_padding(padding, kernel)


def _behind(size: int, kernel: int, stride: int, pad: int, ceil_mode: bool) -> int:
    """Return how many more positions ceil_mode pads behind: a last window must begin inside the image or before it."""
    rest = (size + 2 * pad - kernel) % stride
    if not ceil_mode or rest == 0:
        return 0
    begins = size + 2 * pad - kernel - rest + stride
    return stride - rest if begins < size + pad else 0


def _unit(weight: Array, work: DTypeLike, kernel_eps: float | None) -> Array:
    wide = weight.astype(work)
    energy = jnp.square(wide).sum((1, 2, 3), keepdims=True)
    return wide / jnp.sqrt(jnp.maximum(energy, MIN_KERNEL_NORM**2) if kernel_eps is None else energy + kernel_eps)


def _convolution(
    x: Array, weight: Array, stride: tuple[int, ...], sides: Sides, dilation: tuple[int, ...], groups: int
) -> Array:
    dtype = jnp.promote_types(x.dtype, weight.dtype)
    return lax.conv_general_dilated(
        x.astype(dtype), weight.astype(dtype), stride, sides, rhs_dilation=dilation, feature_group_count=groups
    )


def _signed_power(c: Array, p: ArrayLike, eps: float) -> Array:
    exponents = jnp.asarray(p, c.dtype)
    exponents = exponents.reshape(-1, 1, 1) if exponents.ndim else exponents
    return jnp.sign(c) * (jnp.abs(c) + eps) ** exponents


def _geometry(
    weight: Array, stride: Size, padding: Padding, dilation: Size
) -> tuple[tuple[int, ...], tuple[int, ...], Sides]:
    steps = arguments.at_least_one(stride, 2, "stride")
    dilations = arguments.at_least_one(dilation, 2, "dilation")
    return steps, dilations, arguments.padding_sides(padding, weight.shape[2:], steps, dilations)


def _check(x: Array, weight: Array, p: ArrayLike, groups: int, eps: float) -> None:
    arguments.check_operands(x.shape, weight.shape, jnp.shape(p), groups, eps)
