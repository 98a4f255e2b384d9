"""The sharpened layers as modules that stand where nn.Conv2d stands."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scs_study.layers.functional import Padding, cosine_power, dot_power, resolve_padding
from scs_study.layers.sizes import Size, pair
from scs_study.system import arguments

PARAMETERISATIONS = ("may2022", "mar2022")
P_MIN = 0.1  # floor of a learned exponent (May 2022 layer)
P_INIT = (1.0, 3.0)  # a learned exponent starts uniformly between these (May 2022 layer)
P_INIT_MAR2022 = (math.e, math.e)
P_SCALE_MAR2022 = 5.0  # p = exp(raw_p / 5)
Q_INIT = 1e-3
Q_INIT_MAR2022 = math.exp(-1)
Q_SCALE_MAR2022 = 0.3  # q = exp(-raw_q / 0.3)
Bound = tuple[Tensor, float | None, float | None]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Sharpened2d(nn.Module):
    """What both layers share: the geometry of nn.Conv2d, the kernels and one exponent per kernel.

    pool: a max or MaxAbs pool to apply to the output; set it to have it done before the power (models/pool_fusion.py).
    """

    raw_p: Tensor
    pool: nn.Module | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Padding,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
        p: float | None,
        p_init: tuple[float, float],
        eps: float,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if bias:
            raise ValueError(f"{name} has no bias: pass bias=False")
        arguments.check_channels(in_channels, out_channels, groups)
        arguments.check_word(padding_mode, "padding_mode", PADDING_MODES)
        arguments.check_exponent(p, p_init, P_MIN)
        arguments.check_not_negative(eps, "eps")
        for value, called in ((kernel_size, "kernel_size"), (stride, "stride"), (dilation, "dilation")):
            arguments.at_least_one(value, 2, called)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.stride = pair(stride, "stride")
        self.padding = padding if isinstance(padding, str) else pair(padding, "padding")
        self.dilation = pair(dilation, "dilation")
        self._sides = resolve_padding(padding, self.kernel_size, self.stride, self.dilation)
        self.groups = groups
        self.padding_mode = padding_mode
        self.fixed_p = p
        self.p_init = p_init
        self.eps = eps
        self.pool = None
        self.weight = nn.Parameter(
            torch.empty((out_channels, in_channels // groups, *self.kernel_size), device=device, dtype=dtype)
        )
        raw_p = torch.empty(out_channels, device=device, dtype=dtype)
        if p is None:
            self.raw_p = nn.Parameter(raw_p)
        else:
            self.register_buffer("raw_p", raw_p)

    @property
    def p(self) -> Tensor:
        """The exponent of each kernel, shape (O,)."""
        return self.raw_p

    def reset_parameters(self) -> None:
        """Draw weight and raw_p anew from torch's generator of their device."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self._reset_p()

    @torch.no_grad()
    def _reset_p(self) -> None:
        if self.fixed_p is None:
            self.raw_p.uniform_(*self.p_init)
        else:
            self.raw_p.fill_(self.fixed_p)

    def bounds(self) -> list[Bound]:
        """Return what `project_` clamps: parameters, and what each is at least and at most, None for no bound."""
        return [(self.raw_p, P_MIN, None)] if self.fixed_p is None else []

    @torch.no_grad()
    def project_(self) -> None:
        """Clamp a learned exponent to at least 0.1, in place. Call it after each optimizer step."""
        for parameter, low, high in self.bounds():
            parameter.clamp_(low, high)

    def _pad(self, x: Tensor) -> tuple[Tensor, Padding]:
        """Return x and the padding still to apply: the modes other than zeros become part of x."""
        if self.padding_mode == "zeros" or not any(self._sides):
            return x, self.padding
        return F.pad(x, self._sides, mode=self.padding_mode), 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output (B, O, H', W') for x (B, C, H, W); as in nn.Conv2d, B may be left out of both.

        With a `pool`, the pooled output.
        """
        arguments.check_input(x.shape, 2, self.in_channels, single=True)
        batch, padding = self._pad(x if x.dim() == 4 else x.unsqueeze(0))
        y = self._power(batch, padding)
        return y if x.dim() == 4 else y.squeeze(0)

    def _power(self, x: Tensor, padding: Padding) -> Tensor:
        """Return the layer's function of x (B, C, H, W), with the padding still to apply."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Return the arguments in the words of nn.Conv2d, then the layer's own."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if self.padding not in ((0, 0), "valid"):
            parts.append(f"padding={self.padding}")
        if self.dilation != (1, 1):
            parts.append(f"dilation={self.dilation}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        parts.append(f"p_init={self.p_init}" if self.fixed_p is None else f"p={self.fixed_p}")
        return ", ".join(parts)


class SharpenedCosineSimilarity2d(_Sharpened2d):
    """Sharpened cosine similarity in the place of a convolution: (B, C, H, W) -> (B, O, H', W').

    The arguments up to dtype are nn.Conv2d's, in its order; bias must be False. `weight` has Conv2d's shape and name.

    parameterisation, one of
      may2022  p = raw_p, one per kernel, starts uniformly in p_init = (1, 3), at least 0.1; q = exp(raw_q), one per
               layer, starts at 1e-3; weights start in U(-w_max, w_max) and stay there (w_max=None: start in U(-1, 1),
               no clamp).
      mar2022  p = exp(raw_p / 5), one per kernel, starts at e; q = exp(-raw_q / 0.3), starts at 1/e; weights start as
               in nn.Conv2d; no clamp.
    p       a fixed exponent for the whole layer, kept in a buffer; p=1 is the plain cosine.
    p_init  (low, high) of the starting exponent in effective values; None is the parameterisation's own.
    eps     added to the squared patch norm and to |c|; 0 gives up finite gradients at empty patches.

    forward changes no state. `project_()` applies the clamps; the training loop calls it after each optimizer step.
    Raises ValueError for arguments that fit no layer. Source: versions d630031 and 6b97796 (systems.md 1.1, 1.7).
    """

    raw_q: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = False,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        parameterisation: str = "may2022",
        p: float | None = None,
        p_init: tuple[float, float] | None = None,
        w_max: float | None = 1.0,
        eps: float = 1e-6,
    ) -> None:
        arguments.check_word(parameterisation, "parameterisation", PARAMETERISATIONS)
        arguments.check_w_max(w_max)
        self.parameterisation = parameterisation
        recent = parameterisation == "may2022"
        if not recent and w_max not in (None, 1.0):
            raise ValueError("w_max belongs to the parameterisation may2022; mar2022 never clamps its weights")
        start = p_init if p_init is not None else (P_INIT if recent else P_INIT_MAR2022)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
            device, dtype, p, start, eps,
        )  # fmt: skip
        self.w_max = w_max if recent else None
        self.raw_q = nn.Parameter(torch.empty((), device=device, dtype=dtype))
        self.reset_parameters()

    @property
    def p(self) -> Tensor:
        """The effective exponent of each kernel, shape (O,)."""
        return self.raw_p if self.parameterisation == "may2022" else torch.exp(self.raw_p / P_SCALE_MAR2022)

    @property
    def q(self) -> Tensor:
        """The effective floor of the patch norm, shape ()."""
        return torch.exp(self.raw_q if self.parameterisation == "may2022" else -self.raw_q / Q_SCALE_MAR2022)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weight and raw_p anew from torch's generator of their device; set raw_q to its start."""
        if self.parameterisation == "may2022":
            bound = 1.0 if self.w_max is None else self.w_max
            self.weight.uniform_(-bound, bound)
            self._reset_p()
            self.raw_q.fill_(math.log(Q_INIT))
        else:
            nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
            self._reset_p()
            self.raw_p.log_().mul_(P_SCALE_MAR2022)
            self.raw_q.fill_(-Q_SCALE_MAR2022 * math.log(Q_INIT_MAR2022))

    def bounds(self) -> list[Bound]:
        """Return what `project_` clamps: weight to +-w_max and a learned exponent to at least 0.1; nothing for
        mar2022.
        """
        if self.parameterisation != "may2022":
            return []
        return super().bounds() + ([] if self.w_max is None else [(self.weight, -self.w_max, self.w_max)])

    def _power(self, x: Tensor, padding: Padding) -> Tensor:
        return cosine_power(
            x, self.weight, self.p, self.q,
            stride=self.stride, padding=padding, dilation=self.dilation, groups=self.groups, eps=self.eps,
            pool=self.pool,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the arguments in the words of nn.Conv2d, then the layer's own."""
        return f"{super().extra_repr()}, parameterisation={self.parameterisation}, w_max={self.w_max}"


class SharpenedDotProduct2d(_Sharpened2d):
    """A convolution raised to a learned power, the paper's SharpenedSDP: (B, C, H, W) -> (B, O, H', W').

    The arguments up to dtype are nn.Conv2d's, in its order; bias must be False. Weights start as in nn.Conv2d.

    p       a fixed exponent for the whole layer, kept in a buffer.
    p_init  (low, high): a learned exponent starts uniformly between them, one per kernel.
    eps     added to |z| before the power.

    forward changes no state. `project_()` keeps a learned exponent at 0.1 or more; call it after each optimizer step.
    Raises ValueError for arguments that fit no layer. Source: paper section 4 as read in systems.md 7.
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
        bias: bool = False,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        p: float | None = None,
        p_init: tuple[float, float] = P_INIT,
        eps: float = 1e-6,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
            device, dtype, p, p_init, eps,
        )  # fmt: skip
        self.reset_parameters()

    def _power(self, x: Tensor, padding: Padding) -> Tensor:
        return dot_power(
            x, self.weight, self.p,
            stride=self.stride, padding=padding, dilation=self.dilation, groups=self.groups, eps=self.eps,
            pool=self.pool,
        )  # fmt: skip
