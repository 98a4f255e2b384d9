"""The mathematics of the Keras layers, on tensors of any backend: images channels last, or first."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from keras import ops

from scs_study.system.arguments import Sides, check_input

# Below this length a kernel is divided by this constant instead of its length, which keeps an all-zero kernel finite.
MIN_KERNEL_NORM = 1e-12
Pair = tuple[int, int]


def wide(dtype: str) -> str:
    """Return the dtype of norm and power: float32 at least."""
    return "float64" if dtype == "float64" else "float32"


def check_images(inputs: Any, channels: int | None, last: bool) -> None:
    """Raise ValueError unless inputs, of any kind that Keras takes, are a batch of images with so many channels."""
    check_input(inputs.shape if hasattr(inputs, "shape") else np.shape(inputs), 2, channels, last)


def same_sides(size: int | None, kernel: int, stride: int, dilation: int) -> Pair:
    """Return what 'same' puts before and behind a side of `size` pixels, as TensorFlow and Keras do."""
    span = dilation * (kernel - 1) + 1
    if stride == 1:
        return (span - 1) // 2, span - 1 - (span - 1) // 2
    if size is None:
        raise ValueError("padding 'same' with strides needs images of a known height and width")
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


def pad(x: Any, sides: Sides, channels_last: bool) -> Any:
    """Return x with zeros around its images."""
    if not any(any(pair) for pair in sides):
        return x
    around = ((0, 0), *sides, (0, 0)) if channels_last else ((0, 0), (0, 0), *sides)
    return ops.pad(x, around)


def window_sums(squares: Any, kernel: Pair, strides: Pair, dilation: Pair, groups: int, channels_last: bool) -> Any:
    """Return the sums of squares (B, H, W, C) over windows and over each group of channels: (B, H', W', groups).

    Channels first where squares are. A mean over windows times their size, not a convolution with ones, which may run
    in reduced precision; but where a window has holes, shifted maps are added up.
    """
    axis = -1 if channels_last else 1
    if groups == 1:
        energy = ops.sum(squares, axis=axis, keepdims=True)
    elif groups == squares.shape[axis]:
        energy = squares
    else:
        parts = ops.split(squares, groups, axis=axis)
        energy = ops.concatenate([ops.sum(part, axis=axis, keepdims=True) for part in parts], axis=axis)
    layout = "channels_last" if channels_last else "channels_first"
    if dilation == (1, 1):
        return ops.average_pool(energy, kernel, strides, "valid", layout) * (kernel[0] * kernel[1])
    for axis, k, s, d in zip((1, 2) if channels_last else (2, 3), kernel, strides, dilation, strict=True):
        last = energy.shape[axis] - d * (k - 1)
        shifts = [[slice(None)] * axis + [slice(i * d, i * d + last, s)] for i in range(k)]
        energy = functools.reduce(ops.add, [energy[tuple(shift)] for shift in shifts])
    return energy


def convolution(x: Any, kernel: Any, strides: Pair, dilation: Pair, channels_last: bool) -> Any:
    """Return the convolution of x, which is padded by now, with kernels (kh, kw, C/groups, O)."""
    layout = "channels_last" if channels_last else "channels_first"
    return ops.conv(x, kernel, strides, "valid", layout, dilation)


def repeated(maps: Any, times: int, channels_last: bool) -> Any:
    """Return each channel of maps `times` times, one after the other."""
    axis = -1 if channels_last else 1
    return maps if maps.shape[axis] == 1 or times == 1 else ops.repeat(maps, times, axis=axis)


def unit_kernels(kernel: Any, dtype: str) -> Any:
    """Return the kernels (kh, kw, C, O) over their lengths in `dtype`; a kernel of zeros stays zero."""
    kernel = ops.cast(kernel, dtype)
    energy = ops.sum(ops.square(kernel), axis=(0, 1, 2), keepdims=True)
    return kernel / ops.sqrt(ops.maximum(energy, MIN_KERNEL_NORM**2))


def signed_power(c: Any, p: Any, eps: float, channels_last: bool) -> Any:
    """Return sgn(c) (|c| + eps)^p with p (O,) or a number; 0 where c is 0, and no gradient there."""
    if len(getattr(p, "shape", ())) == 1 and not channels_last:
        p = ops.reshape(p, (-1, 1, 1))
    return ops.sign(c) * ops.power(ops.abs(c) + eps, p)
