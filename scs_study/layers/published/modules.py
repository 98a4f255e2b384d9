"""The published layers as modules that stand where nn.Conv1d, nn.Conv2d or nn.Conv3d stands."""

from __future__ import annotations

from typing import Any, ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scs_study.layers.functional import Padding
from scs_study.layers.modules import PADDING_MODES, Bound
from scs_study.layers.published.forms import Form
from scs_study.layers.published.functional import Effective, Window, published_similarity
from scs_study.layers.published.parts import STARTS
from scs_study.layers.sizes import Size
from scs_study.system import arguments

P_MIN = 0.1  # a learned exponent may start anywhere from here on


class FormModule(nn.Module):
    """The learned numbers of a form: weight, raw_p, raw_q, bias and alpha, with their starts and their bounds."""

    form: ClassVar[Form]
    raw_p: Tensor | None
    raw_q: Tensor | None
    bias: Tensor | None
    alpha: Tensor | None

    def _make_parameters(
        self,
        shape: tuple[int, ...],
        kernels: int,
        bias: bool | None,
        p: float | None,
        p_init: tuple[float, float] | None,
        power: bool,
        safe: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        """Register the parameters for a weight of `shape` and so many kernels, and draw them."""
        arguments.check_exponent(p, p_init, P_MIN)
        if not power and (p is not None or p_init is not None):
            raise ValueError("p and p_init belong to the power: leave them out with power=False")
        self.fixed_p, self.p_init, self.power, self.safe = p, p_init, power, safe
        home: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(shape, **home))
        raw_p = torch.empty(kernels, **home) if power else None
        if p is None:
            self.register_parameter("raw_p", None if raw_p is None else nn.Parameter(raw_p))
        else:
            self.register_buffer("raw_p", raw_p)
        self._optional("raw_q", self.form.q is not None, (), home)
        self._optional("bias", self._has_bias(bias), (kernels,), home)
        self._optional("alpha", self.form.alpha is not None, (), home)
        self.reset_parameters()

    def _optional(self, name: str, there: bool, shape: tuple[int, ...], home: dict[str, Any]) -> None:
        self.register_parameter(name, nn.Parameter(torch.empty(shape, **home)) if there else None)

    def _has_bias(self, wanted: bool | None) -> bool:
        kind = self.form.bias
        if kind in ("none", "unused"):
            if wanted:
                raise ValueError(f"{type(self).__name__} has no bias: pass bias=False")
            return kind == "unused" and not self.safe
        if wanted is False and not self.safe and kind == "offset":
            raise ValueError(f"the published layer of {self.form.title} does not run without its bias; safe=True does")
        return self.form.biased if wanted is None else wanted

    @property
    def p(self) -> Tensor | None:
        """The effective exponent of each kernel, shape (O,); None without a power."""
        if self.raw_p is None:
            return None
        p = self.form.p.decode(self.raw_p)
        bounded = self.form.p_min is not None and self.fixed_p is None and self.safe
        return p.clamp_min(cast(float, self.form.p_min)) if bounded else p

    @property
    def q(self) -> Tensor:
        """The effective q, shape (); 0 where the form has none."""
        if self.form.q is None or self.raw_q is None:
            return self.weight.new_zeros(())
        return self.form.q.decode(self.raw_q)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw everything learned anew from torch's generator of its device, as published."""
        STARTS[self.form.start](self.weight)
        if self.raw_p is not None:
            self._draw_p(self.raw_p)
        if self.form.q is not None and self.raw_q is not None:
            self.form.q.draw_(self.raw_q)
        if self.bias is not None:
            if isinstance(self.form.bias_start, tuple):
                self.bias.uniform_(*self.form.bias_start)
            else:
                self.bias.fill_(self.form.bias_start)
        if self.alpha is not None:
            self.alpha.fill_(cast(float, self.form.alpha))

    def _draw_p(self, raw_p: Tensor) -> None:
        if self.fixed_p is not None:
            raw_p.fill_(self.form.p.encode(self.fixed_p))
        elif self.p_init is not None:
            drawn = raw_p.uniform_(*self.p_init).tolist()
            raw_p.copy_(torch.tensor([self.form.p.encode(p) for p in drawn]))
        else:
            self.form.p.draw_(raw_p)

    def bounds(self) -> list[Bound]:
        """Return what `project_` clamps: parameters, and what each is at least and at most, None for no bound."""
        found: list[Bound] = []
        if self.form.w_max is not None:
            found.append((self.weight, -self.form.w_max, self.form.w_max))
        published = "exponent" not in self.form.hazards  # a bound of the safe form alone otherwise
        if self.form.p_min is not None and self.fixed_p is None and self.raw_p is not None and (self.safe or published):
            found.append((self.raw_p, self.form.p_min, None))
        return found

    @torch.no_grad()
    def project_(self) -> None:
        """Clamp the parameters to the form's bounds, in place; nothing for most forms. Call it after each step."""
        for parameter, low, high in self.bounds():
            parameter.clamp_(low, high)

    def _numbers(self) -> Effective:
        """Return what the formula sees; not safe, forward itself clamps what the published one clamps."""
        weight = self.weight
        if self.form.w_max is not None:
            if self.safe:
                weight = weight.clamp(-self.form.w_max, self.form.w_max)  # type: ignore[assignment]
            else:
                self._clamp_as_published()
                weight = self.weight
        q = self.q if self.form.q is not None else 0.0
        return Effective(weight, self.p, q, self.bias, self.alpha)

    def _clamp_as_published(self) -> None:
        assert self.form.w_max is not None
        self.weight.data = self.weight.data.clamp(-self.form.w_max, self.form.w_max)
        if self.form.p_min is not None and self.fixed_p is None and self.raw_p is not None:
            self.raw_p.data = self.raw_p.data.clamp(min=self.form.p_min)

    def _own_options(self) -> str:
        parts = [f"p={self.fixed_p}"] if self.fixed_p is not None else []
        parts += [] if self.power else ["power=False"]
        parts += [] if self.safe else ["safe=False"]
        return "".join(f", {part}" for part in parts)


class PublishedLayer(FormModule):
    """A published layer in the place of a convolution: (B, C, ...) -> (B, O, ...). Use one of its subclasses.

    The arguments up to dtype are nn.Conv2d's, in its order; `weight` has Conv2d's name and shape.

    bias            None is the form's own choice.
    p               a fixed exponent for the whole layer, kept in a buffer.
    p_init          (low, high): a learned exponent starts uniformly between them (effective values).
    power           False leaves the power out, as zimonitrome's p=False does.
    shared_weights  one bank of kernels, with its p, for all groups; with groups=in_channels Keras' depthwise layer.
    safe            False reproduces the hazards of the published code (docs/layers.md), and refuses what it cannot do.
    dims            1, 2 or 3: the dimensions of an image.

    `project_()` applies the form's clamps; the training loop calls it after each optimizer step. Safe, forward changes
    no state. Raises ValueError for arguments that fit no layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool | None = None,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        p: float | None = None,
        p_init: tuple[float, float] | None = None,
        power: bool = True,
        shared_weights: bool = False,
        safe: bool = True,
        dims: int = 2,
    ) -> None:
        super().__init__()
        if dims not in (1, 2, 3):
            raise ValueError(f"dims must be 1, 2 or 3, got {dims!r}")
        arguments.check_channels(in_channels, out_channels, groups)
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups, self.dims = in_channels, out_channels, groups, dims
        self.kernel_size = arguments.at_least_one(kernel_size, dims, "kernel_size")
        self.stride = arguments.at_least_one(stride, dims, "stride")
        self.dilation = arguments.at_least_one(dilation, dims, "dilation")
        self.padding = padding if isinstance(padding, str) else arguments.sizes(padding, dims, "padding")
        self._sides = arguments.padding_sides(self.padding, self.kernel_size, self.stride, self.dilation)
        self.padding_mode = padding_mode
        self.shared_weights = shared_weights
        if not safe:
            self._check_original(shared_weights)
        kernels = out_channels // groups if shared_weights else out_channels
        shape = (kernels, in_channels // groups, *self.kernel_size)
        self._make_parameters(shape, kernels, bias, p, p_init, power, safe, device, dtype)

    def _check_original(self, shared_weights: bool) -> None:
        """Raise ValueError for a geometry that the published code does not know."""
        known = self.form.original
        depthwise = self.groups == self.in_channels and (known.depthwise or (known.shared and shared_weights))
        lacks = {
            f"{self.dims}-dimensional input": self.dims not in known.dims,
            "stride": not known.stride and max(self.stride) > 1,
            "dilation": max(self.dilation) > 1,
            "kernels that are not square": known.square and len(set(self.kernel_size)) > 1,
            "even kernels": "no bias" in self.form.hazards and any(k % 2 == 0 for k in self.kernel_size),
            "such groups": self.groups > 1 and not depthwise,
            "shared weights": shared_weights and not known.shared,
            "such a padding mode": self.padding_mode != "zeros" and "no bias" not in self.form.hazards,
        }
        missing = [name for name, is_missing in lacks.items() if is_missing]
        if missing:
            raise ValueError(f"the published layer of {self.form.title} knows no {missing[0]}; safe=True does")

    @classmethod
    def from_conv(cls, conv: nn.Conv1d | nn.Conv2d | nn.Conv3d, **options: Any) -> Self:
        """Return a layer in the place of `conv`: its geometry, weights, device, dtype and whether it learns.

        options: the keyword arguments from `bias` on. With shared_weights the first group's kernels serve all groups.
        Raises ValueError for anything but a plain convolution.
        """
        dims = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}.get(type(conv))
        if dims is None:
            raise ValueError(f"only an nn.Conv1d, nn.Conv2d or nn.Conv3d can be replaced, got {type(conv).__name__}")
        weight = conv.weight
        new = cls(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, cast(Padding, conv.padding),
            conv.dilation, conv.groups, options.pop("bias", None), conv.padding_mode, weight.device, weight.dtype,
            dims=dims, **options,
        )  # fmt: skip
        with torch.no_grad():
            new.weight.copy_(weight[: new.weight.shape[0]])
        new.requires_grad_(weight.requires_grad)
        return new

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output (B, O, ...) for x (B, C, ...); as in nn.Conv2d, B may be left out of both."""
        batch = x if x.dim() == self.dims + 2 else x.unsqueeze(0)
        arguments.check_input(batch.shape, self.dims, self.in_channels)
        sides = self._sides
        if self.padding_mode != "zeros":
            flat = [side for pair in reversed(sides) for side in pair]
            batch, sides = F.pad(batch, flat, mode=self.padding_mode), ((0, 0),) * self.dims
        numbers = self._numbers()
        if self.shared_weights:
            numbers = _repeated(numbers, self.groups)
        window = Window(self.kernel_size, self.stride, self.dilation, sides)
        y = published_similarity(batch, numbers, self.form, window, self.groups, safe=self.safe)
        if self.shared_weights and self.form.shared_order == "kernel":
            y = y.reshape(y.shape[0], self.groups, -1, *y.shape[2:]).transpose(1, 2).flatten(1, 2)
        return y if x.dim() == self.dims + 2 else y.squeeze(0)

    def extra_repr(self) -> str:
        """Return the arguments in the words of nn.Conv2d, then the layer's own."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if any(any(pair) for pair in self._sides):
            parts.append(f"padding={self.padding}")
        if max(self.dilation) > 1:
            parts.append(f"dilation={self.dilation}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.shared_weights:
            parts.append("shared_weights=True")
        return ", ".join(parts) + self._own_options()


def _repeated(numbers: Effective, groups: int) -> Effective:
    """Return the numbers of one group's kernels, once for each group."""

    def repeat(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.repeat(groups, *[1] * (values.dim() - 1))

    weight = numbers.weight.repeat(groups, *[1] * (numbers.weight.dim() - 1))
    return Effective(weight, repeat(numbers.p), numbers.q, repeat(numbers.bias), numbers.alpha)
