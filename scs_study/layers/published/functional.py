"""The mathematics of every published layer, as one function of tensors and a form."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from scs_study.layers.autograd import signed_power
from scs_study.layers.functional import box_sum, group_energy, sharpened_cosine_similarity
from scs_study.layers.published.forms import Form
from scs_study.layers.published.parts import Floor, lengths, sigplus_of
from scs_study.system.arguments import Sides

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
# The floor of the layer that `layers.functional` computes.
STUDIED = Floor("inside", 1e-6)


@dataclass(frozen=True)
class Window:
    """Where a kernel looks: its sides, steps and padding ((before, after), ...), one entry a dimension."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    sides: Sides


@dataclass(frozen=True)
class Effective:
    """The numbers that the formula sees: kernels (O, C/groups, ...), p (O,) or None for no power, q (), bias (O,)."""

    weight: Tensor
    p: Tensor | None
    q: Tensor | float = 0.0
    bias: Tensor | None = None
    alpha: Tensor | None = None


def published_similarity(
    x: Tensor, numbers: Effective, form: Form, window: Window, groups: int = 1, *, safe: bool = True
) -> Tensor:
    """Return alpha sgn(c) (|c| + eps + offset)^p + bias, shape (B, O, ...), for x (B, C, ...) of one to three
    dimensions, with c and the rest as `form` says; without p, alpha c + bias.

    safe: as docs/layers.md says; otherwise as published, with every hazard of the form.
    """
    result = torch.promote_types(x.dtype, numbers.weight.dtype)
    work = work_dtype(result, form, safe)
    if safe and _is_studied(form, numbers, window):
        assert isinstance(numbers.q, Tensor)
        assert numbers.p is not None
        y = sharpened_cosine_similarity(
            x, numbers.weight, numbers.p, numbers.q,
            stride=window.stride, padding=[before for before, _ in window.sides], groups=groups, eps=form.eps,
        )  # fmt: skip
        return y if numbers.alpha is None else y * numbers.alpha.to(y.dtype)
    if form.norm == "channel":
        z, scale = _by_channel(x, numbers, form, window, groups, work, safe), None
    else:
        z, scale = _by_patch(x, numbers, form, window, groups, work, safe)
    y = power(z, scale, numbers, form, work)
    if numbers.alpha is not None:
        y = y * numbers.alpha.to(work)
    if form.bias == "after" and numbers.bias is not None:
        y = y + _by_kernel(numbers.bias.to(work), y)
    return y.to(result)


def _is_studied(form: Form, numbers: Effective, window: Window) -> bool:
    """Whether the form is the one of `layers.functional`, whose fast paths it then takes."""
    return (
        form.norm == "patch"
        and form.patch_floor == STUDIED
        and form.kernel_floor is None
        and (form.q_on, form.bias) in (("patch", "none"), ("patch", "unused"))
        and numbers.p is not None
        and len(window.kernel) == 2
        and all(d == 1 for d in window.dilation)
        and all(before == after for before, after in window.sides)
    )


def work_dtype(result: torch.dtype, form: Form, safe: bool) -> torch.dtype:
    """Return the dtype of norm and power: float32 at least, or as published the result's own."""
    return result if not safe and "half" in form.hazards else torch.promote_types(result, torch.float32)


def power(z: Tensor, scale: Tensor | None, numbers: Effective, form: Form, work: torch.dtype) -> Tensor:
    """Return sgn(c) (|c| + eps + offset)^p, or c without p, for c = z * scale: z (B, O, ...), scale (B, G, ...)."""
    if numbers.p is None:
        return z if scale is None else z * _spread(scale, z)
    p = numbers.p.to(work)
    if form.bias == "offset" and numbers.bias is not None:
        c = z if scale is None else z * _spread(scale, z)
        offset = sigplus_of(numbers.bias.to(work))
        return c.sign() * (c.abs() + form.eps + _by_kernel(offset, c)) ** _by_kernel(p, c)
    places = z.shape[2:]
    if len(places) != 2:  # signed_power is made for images
        z, scale = z.flatten(2).unsqueeze(2), None if scale is None else scale.flatten(2).unsqueeze(2)
    return signed_power(z, scale, p, form.eps).reshape(*z.shape[:2], *places)


def _by_patch(
    x: Tensor, numbers: Effective, form: Form, window: Window, groups: int, work: torch.dtype, safe: bool
) -> tuple[Tensor, Tensor]:
    """Return z (B, O, ...) and the scale (B, G, ...) that makes a cosine of it, both in `work`."""
    if not safe and "five" in form.hazards and window.kernel == (5, 5) and window.sides == ((2, 2), (2, 2)):
        x, window = _misread_five(x, window.stride), replace(window, stride=(5, 5), sides=((0, 0), (0, 0)))
    x, padding = _apply_padding(x, form, window, safe)
    energy = _window_sums(x, numbers.weight, form, window, padding, groups, work, safe)
    kernels = normalised(numbers, form, work, safe).to(numbers.weight.dtype)
    z = CONVOLUTIONS[len(window.kernel)](x, kernels, None, window.stride, padding, window.dilation, groups).to(work)
    if safe and numbers.p is None:
        z = torch.where(_spread(energy == 0, z), 0, z)  # the same value, which is 0, without its gradient
    if form.bias == "numerator" and numbers.bias is not None:
        z = z + _by_kernel(numbers.bias.to(work), z)
    length = lengths(energy, form.patch_floor, safe)
    if form.q_on in ("patch", "both"):
        length = length + numbers.q
    return z, length.reciprocal()


def _by_channel(
    x: Tensor, numbers: Effective, form: Form, window: Window, groups: int, work: torch.dtype, safe: bool
) -> Tensor:
    """Return the sum over the channels of each channel's cosine, (B, O, ...): at most one a channel, not one in all."""
    x, _ = _apply_padding(x, form, window, safe)
    channels, none = x.shape[1], (0,) * len(window.kernel)
    energy = _window_sums(x, numbers.weight, form, window, none, channels, work, safe)
    scale = lengths(energy, form.patch_floor, safe).reciprocal()
    if safe:
        scale = torch.where(energy > 0, scale, 0)  # times a channel of zeros either way
    patches = _patches(x, window) * scale.flatten(2).unsqueeze(2).to(x.dtype)
    kernels = normalised(numbers, form, work, safe).to(numbers.weight.dtype)
    z = kernels.reshape(groups, kernels.shape[0] // groups, -1) @ patches.reshape(
        x.shape[0], groups, -1, patches.shape[3]
    )
    return z.reshape(x.shape[0], -1, *energy.shape[2:]).to(work)


def normalised(
    numbers: Effective, form: Form, work: torch.dtype, safe: bool, axes: tuple[int, ...] | None = None
) -> Tensor:
    """Return the kernels divided by n_w, and by q where it is added to that, in `work`.

    axes: what a length is summed over, if not over all of a kernel (O, C/groups, ...) or of its channel.
    """
    weight = numbers.weight.to(work)
    if form.whole_matrix:
        energy = weight.square().sum()
    else:
        first = 2 if form.norm == "channel" else 1
        energy = weight.square().sum(axes or tuple(range(first, weight.dim())), keepdim=True)
    length = lengths(energy, form.kernel_floor, safe)
    if form.q_on in ("kernel", "both"):
        length = length + numbers.q
    return weight / length


def _misread_five(x: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Return the patches (B, C, 5 H', 5 W'), side by side, that the published code reads for a padded 5 x 5 kernel.

    Where it means to look one row or column aside, it takes the middle one again, without the image's outermost ones.
    """
    for axis, step in zip((2, 3), stride, strict=True):
        size = x.shape[axis]
        ends = torch.zeros_like(x.narrow(axis, 0, 2))
        inner = torch.cat([ends.narrow(axis, 0, 1), x.narrow(axis, 1, size - 2), ends.narrow(axis, 0, 1)], axis)
        before, after = x.narrow(axis, 0, size - 2), x.narrow(axis, 2, size - 2)
        seen = [torch.cat([ends, before], axis), inner, x, inner, torch.cat([after, ends], axis)]
        steps = [slice(None)] * axis + [slice(None, None, step)]
        x = torch.stack([part[tuple(steps)] for part in seen], axis + 1).flatten(axis, axis + 1)
    return x


def _window_sums(
    x: Tensor,
    weight: Tensor,
    form: Form,
    window: Window,
    padding: tuple[int, ...],
    groups: int,
    work: torch.dtype,
    safe: bool,
) -> Tensor:
    """Return the sums of squares (B, G, ...) over the windows of x, with the padding still to apply."""
    if not safe and "device" in form.hazards:
        ones = torch.ones((groups, *weight.shape[1:]))
        sums: Tensor = CONVOLUTIONS[len(window.kernel)](
            x.square(), ones, None, window.stride, padding, window.dilation, groups
        )
        return sums
    energy = group_energy(x.to(work), groups)
    if len(window.kernel) == 2:
        rows, columns = ((*pair,) for pair in zip(window.stride, padding, window.dilation, strict=True))
        stride, sides, dilation = zip(rows, columns, strict=True)
        return box_sum(energy, window.kernel, stride, sides, dilation)
    for axis, (k, s, d) in enumerate(zip(window.kernel, window.stride, window.dilation, strict=True), start=2):
        energy = energy.unfold(axis, d * (k - 1) + 1, s)[..., ::d].sum(-1)
    return energy


def _patches(x: Tensor, window: Window) -> Tensor:
    """Return the patches of x (B, C, ...), which is padded by now: (B, C, kernel, places)."""
    batch, channels = x.shape[:2]
    if len(window.kernel) == 2:
        columns = F.unfold(x, window.kernel, window.dilation, 0, window.stride)
        return columns.reshape(batch, channels, math.prod(window.kernel), -1)
    for axis, (k, s, d) in enumerate(zip(window.kernel, window.stride, window.dilation, strict=True), start=2):
        x = x.unfold(axis, d * (k - 1) + 1, s)[..., ::d]
    return x.flatten(2 + len(window.kernel)).flatten(2, -2).transpose(2, 3)


def pad(x: Tensor, sides: Sides) -> Tensor:
    """Return x with zeros around it: sides is ((before, after), ...), one pair a dimension."""
    flat = _flat(sides)
    return F.pad(x, flat) if any(flat) else x


def _apply_padding(x: Tensor, form: Form, window: Window, safe: bool) -> tuple[Tensor, tuple[int, ...]]:
    """Return x and the padding still to apply: none, but for images padded alike on both sides, which convolutions pad.

    Not safe, where the published code reads patches off the memory: x as that code takes it, as if it were contiguous.
    """
    if not safe and "layout" in form.hazards:
        x = F.pad(x, _flat(window.sides))
        return x.as_strided(x.shape, torch.empty(x.shape, device="meta").stride()), (0, 0)
    even = all(before == after for before, after in window.sides)
    if even and len(window.kernel) == 2 and form.norm == "patch":
        return x, tuple(before for before, _ in window.sides)
    return pad(x, window.sides), (0,) * len(window.kernel)


def _flat(sides: Sides) -> list[int]:
    return [side for pair in reversed(sides) for side in pair]


def _by_kernel(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.dim() - 2))


def _spread(maps: Tensor, z: Tensor) -> Tensor:
    """Return maps (B, G, ...) repeated to the kernels of z (B, O, ...): one each for the kernels of a group."""
    return maps if maps.shape[1] == 1 else maps.repeat_interleave(z.shape[1] // maps.shape[1], 1)
