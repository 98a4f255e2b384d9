"""The checks of arguments that every framework's layers share, so that a mistake gets the same sentence in each.

Free of torch, JAX and Keras: `scs_study.jax` and `scs_study.keras` are imported where torch is not installed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Size = int | Sequence[int]
Sides = tuple[tuple[int, int], ...]


def sizes(value: object, dims: int, name: str) -> tuple[int, ...]:
    """Return value, one int or `dims` of them, as a tuple of `dims`. Raises ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,) * dims
    several = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == dims
    if several and all(isinstance(side, int) and not isinstance(side, bool) for side in value):  # type: ignore[attr-defined]
        return tuple(value)  # type: ignore[arg-type]
    raise ValueError(f"{name} must be one int or {dims} of them, got {value!r}")


def at_least_one(value: object, dims: int, name: str) -> tuple[int, ...]:
    """Return `sizes(value, dims, name)`. Raises ValueError where one of them is below 1, too."""
    found = sizes(value, dims, name)
    if min(found) < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}")
    return found


def padding_sides(
    padding: object,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    *,
    strided_same: bool = False,
) -> Sides:
    """Return ((before, after), ...), one pair a dimension, for 'valid', 'same', one int or one int a dimension.

    'same' puts an odd position behind, as torch and XLA do. Raises ValueError for another word, for a negative number
    and for 'same' with a stride, unless strided_same (Keras, whose 'same' depends on the size of the input).
    """
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        if not strided_same and any(step != 1 for step in stride):
            raise ValueError(f"padding 'same' needs stride 1, got stride {tuple(stride)}")
        spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((span // 2, span - span // 2) for span in spans)
    if isinstance(padding, str):
        raise ValueError(f"padding must be 'same', 'valid', one int or {len(kernel)} of them, got {padding!r}")
    found = sizes(padding, len(kernel), "padding")
    if min(found) < 0:
        raise ValueError(f"padding must not be negative, got {padding!r}")
    return tuple((side, side) for side in found)


def check_channels(in_channels: object, out_channels: object, groups: object) -> None:
    """Raise ValueError unless both numbers of channels are positive multiples of a positive number of groups."""
    numbers = (in_channels, out_channels, groups)
    fits = all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in numbers)
    if not fits or in_channels % groups or out_channels % groups:  # type: ignore[operator]
        raise ValueError(
            f"in_channels and out_channels must be positive multiples of groups, "
            f"got {in_channels}, {out_channels}, {groups}"
        )


def check_exponent(p: object, p_init: object, p_min: float) -> None:
    """Raise ValueError unless p is None or a positive number, and p_init None or (low, high) from p_min upwards."""
    if p is not None and not (isinstance(p, (int, float)) and 0 < p < math.inf):
        raise ValueError(f"a fixed p must be positive, got {p!r}")
    if p_init is None:
        return
    if not isinstance(p_init, Sequence) or len(p_init) != 2 or not p_min <= p_init[0] <= p_init[1] < math.inf:
        raise ValueError(f"p_init must be (low, high) with {p_min} <= low <= high, got {p_init!r}")


def check_not_negative(value: float, name: str) -> None:
    """Raise ValueError where value is negative or not a number."""
    if not value >= 0:
        raise ValueError(f"{name} must not be negative, got {value}")


def check_word(value: object, name: str, known: Sequence[str]) -> None:
    """Raise ValueError unless value is one of the `known` words."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def check_w_max(value: float | None) -> None:
    """Raise ValueError unless the largest weight is None or positive."""
    if value is not None and not value > 0:
        raise ValueError(f"w_max must be positive or None, got {value}")


def check_operands(x: Sequence[int], weight: Sequence[int], p: Sequence[int], groups: int, eps: float) -> None:
    """Raise ValueError where images, kernels and exponents of these shapes, groups and eps cannot belong together.

    p: () where it is a plain number.
    """
    check_images(x)
    if len(weight) != 4:
        raise ValueError(f"weight must be (kernels, channels/groups, height, width), got shape {tuple(weight)}")
    if groups < 1 or x[1] != weight[1] * groups or weight[0] % groups:
        raise ValueError(f"{weight[0]} kernels of {weight[1]} channels in {groups} groups do not fit {x[1]} channels")
    if math.prod(p) != 1 and tuple(p) != (weight[0],):
        raise ValueError(f"p must be one number or one per kernel ({weight[0]}), got shape {tuple(p)}")
    check_not_negative(eps, "eps")


def check_images(shape: Sequence[int]) -> None:
    """Raise ValueError unless shape is a batch of images, channels first."""
    if len(shape) != 4:
        raise ValueError(f"x must be (batch, channels, height, width), got shape {tuple(shape)}")


def check_floor(q: Sequence[int]) -> None:
    """Raise ValueError unless the shape of q is that of one number."""
    if math.prod(q) != 1:
        raise ValueError(f"q must be one number for the whole layer, got shape {tuple(q)}")


def pool_padding(padding: object, kernel: Sequence[int]) -> tuple[int, ...]:
    """Return a pool's padding, one int a dimension. Raises ValueError unless it is at most half of the window."""
    found = sizes(padding, len(kernel), "padding")
    if any(side < 0 or 2 * side > k for side, k in zip(found, kernel, strict=True)):
        raise ValueError(f"padding must be between 0 and half of kernel_size {tuple(kernel)}, got {padding!r}")
    return found


def check_input(
    shape: Sequence[int | None], dims: int, channels: int | None, channels_last: bool = False, single: bool = False
) -> None:
    """Raise ValueError unless shape is a batch of `dims`-dimensional images with so many channels, None for any.

    single: an image without a batch will do as well.
    """
    places = ", ".join({1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}[dims])
    named = "channels" if channels is None else channels
    wanted = f"(batch, {places}, {named})" if channels_last else f"(batch, {named}, {places})"
    fits = len(shape) == dims + 2 or (single and len(shape) == dims + 1)
    if not fits or (channels is not None and shape[-1 if channels_last else -dims - 1] not in (channels, None)):
        raise ValueError(f"expected {wanted}, got shape {tuple(shape)}")
