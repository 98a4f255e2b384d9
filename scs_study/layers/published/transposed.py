"""The transposed layer: sharpened cosine similarity in the place of nn.ConvTranspose2d, for generators.

An output position sees the input positions whose kernels reach it. Its patch norm is the length of those, so that no
place is dark for being reached by few; with the kernel's norm taken per output channel, no |c| exceeds 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scs_study.layers.functional import box_sum, group_energy
from scs_study.layers.published import forms
from scs_study.layers.published.forms import Form
from scs_study.layers.published.functional import Effective, normalised, power, work_dtype
from scs_study.layers.published.modules import FormModule
from scs_study.layers.published.parts import lengths
from scs_study.layers.sizes import Size
from scs_study.system import arguments

NORMS = ("output_channel", "input_channel")
Pair = tuple[int, int]


def transposed_similarity(
    x: Tensor,
    numbers: Effective,
    form: Form,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    output_padding: Pair = (0, 0),
    groups: int = 1,
    dilation: Pair = (1, 1),
    *,
    norm: str = "output_channel",
    safe: bool = True,
) -> Tensor:
    """Return sgn(c) (|c| + eps)^p, (B, O, H', W'), with c the transposed convolution over both norms.

    x is (B, C, H, W), the kernels are (C, O/groups, kh, kw).

    norm: of a kernel, over all weights of an output channel, or, as zimonitrome's layer has it, of an input channel,
    which bounds no output.
    """
    wide = torch.promote_types(x.dtype, numbers.weight.dtype)
    work = work_dtype(wide, form, safe)
    kernel = tuple(numbers.weight.shape[2:])
    by_group = replace(numbers, weight=numbers.weight.reshape(groups, -1, *numbers.weight.shape[1:]))
    weight = normalised(by_group, form, work, safe, (1, 3, 4) if norm == "output_channel" else (2, 3, 4)).flatten(0, 1)
    z = F.conv_transpose2d(
        x, weight.to(numbers.weight.dtype), None, stride, padding, output_padding, groups, dilation
    ).to(work)
    energy = _reaching(group_energy(x.to(work), groups), kernel, stride, padding, output_padding, dilation)
    each = z.shape[1] // groups
    if safe and numbers.p is None:
        z = torch.where((energy == 0).repeat_interleave(each, 1), 0, z)
    if numbers.bias is not None:
        z = z + numbers.bias.to(work).reshape(-1, 1, 1)
    length = lengths(energy, form.patch_floor, safe)
    if form.q_on in ("patch", "both"):
        length = length + numbers.q
    y = power(z, length.reciprocal(), numbers, form, work)
    return (y if numbers.alpha is None else y * numbers.alpha.to(work)).to(wide)


def _reaching(
    energy: Tensor, kernel: tuple[int, ...], stride: Pair, padding: Pair, output_padding: Pair, dilation: Pair
) -> Tensor:
    """Return the sums (B, G, H', W') of energy (B, G, H, W) over the positions that reach an output.

    The positions are set apart by the stride, with zeros between them, and summed over windows: no convolution, which
    might run in reduced precision.
    """
    height, width = energy.shape[2:]
    apart = energy.new_zeros(*energy.shape[:2], (height - 1) * stride[0] + 1, (width - 1) * stride[1] + 1)
    apart[:, :, :: stride[0], :: stride[1]] = energy
    (top, bottom), (left, right) = (
        (d * (k - 1) - p, d * (k - 1) - p + extra)
        for k, p, extra, d in zip(kernel, padding, output_padding, dilation, strict=True)
    )
    return box_sum(F.pad(apart, (left, right, top, bottom)), kernel, (1, 1), (0, 0), dilation)


class TransposedLayer(FormModule):
    """A form in the place of a transposed convolution: (B, C, H, W) -> (B, O, H', W'). Use one of its subclasses.

    The arguments up to dtype are nn.ConvTranspose2d's, in its order; `weight` has its name and shape.

    norm   "output_channel" bounds every |c| by 1; "input_channel" is zimonitrome's.
    safe   False reproduces the hazards of the published code, and refuses what it cannot do.
    bias, p, p_init, power: as for `PublishedLayer`.

    Raises ValueError for arguments that fit no layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool | None = None,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        norm: str = "output_channel",
        p: float | None = None,
        p_init: tuple[float, float] | None = None,
        power: bool = True,
        safe: bool = True,
    ) -> None:
        super().__init__()
        arguments.check_channels(in_channels, out_channels, groups)
        if padding_mode != "zeros":
            raise ValueError(f"padding_mode must be zeros, as for nn.ConvTranspose2d, got {padding_mode!r}")
        if norm not in NORMS:
            raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
        if isinstance(padding, str):
            raise ValueError(f"padding must be one int or two, got {padding!r}")
        self.in_channels, self.out_channels, self.groups, self.norm = in_channels, out_channels, groups, norm
        self.kernel_size = cast(Pair, arguments.at_least_one(kernel_size, 2, "kernel_size"))
        self.stride = cast(Pair, arguments.at_least_one(stride, 2, "stride"))
        self.dilation = cast(Pair, arguments.at_least_one(dilation, 2, "dilation"))
        self.padding = cast(Pair, arguments.sizes(padding, 2, "padding"))
        self.output_padding = cast(Pair, arguments.sizes(output_padding, 2, "output_padding"))
        if min(self.padding + self.output_padding) < 0:
            raise ValueError(f"padding and output_padding must not be negative, got {padding!r}, {output_padding!r}")
        steps = zip(self.output_padding, self.stride, self.dilation, strict=True)
        if any(extra >= max(s, d) for extra, s, d in steps):
            raise ValueError(f"output_padding must be smaller than stride or dilation, got {output_padding!r}")
        if not safe and (groups > 1 or self.dilation != (1, 1)):
            raise ValueError(
                f"the published layer of {self.form.title} knows no such groups or dilation; safe=True does"
            )
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        self._make_parameters(shape, out_channels, bias, p, p_init, power, safe, device, dtype)

    @classmethod
    def from_conv(cls, conv: nn.ConvTranspose2d, **options: Any) -> Self:
        """Return a layer in the place of `conv`: its geometry, weights, device, dtype and whether it learns.

        options: the keyword arguments from `bias` on. Raises ValueError for anything but a plain nn.ConvTranspose2d.
        """
        if type(conv) is not nn.ConvTranspose2d:
            raise ValueError(f"only an nn.ConvTranspose2d can be replaced, got {type(conv).__name__}")
        weight = conv.weight
        new = cls(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, cast(Pair, conv.padding),
            conv.output_padding, conv.groups, options.pop("bias", None), conv.dilation,
            device=weight.device, dtype=weight.dtype, **options,
        )  # fmt: skip
        with torch.no_grad():
            new.weight.copy_(weight)
        new.requires_grad_(weight.requires_grad)
        return new

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output (B, O, H', W') for x (B, C, H, W); B may be left out of both."""
        batch = x if x.dim() == 4 else x.unsqueeze(0)
        arguments.check_input(batch.shape, 2, self.in_channels)
        y = transposed_similarity(
            batch, self._numbers(), self.form, self.stride, self.padding, self.output_padding, self.groups,
            self.dilation, norm=self.norm, safe=self.safe,
        )  # fmt: skip
        return y if x.dim() == 4 else y.squeeze(0)

    def extra_repr(self) -> str:
        """Return the arguments in the words of nn.ConvTranspose2d, then the layer's own."""
        parts = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        return f"{parts}, padding={self.padding}, norm={self.norm}{self._own_options()}"


class ZimonitromeTranspose2d(TransposedLayer):
    """zimonitrome's transposed layer of SCS-GAN; as published with norm="input_channel", power=False and safe=False."""

    form = forms.ZIMONITROME


class RohrerMay2022Transpose2d(TransposedLayer):
    """The form of the studied layer, transposed: p per kernel from U(1, 3), q on the patch norm."""

    form = forms.ROHRER_MAY2022
