"""The studied layers as Equinox modules: pytrees of their arrays."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from scs_study.jax.functional import (
    Padding,
    max_abs_pool2d,
    pool_geometry,
    sharpened_cosine_similarity,
    sharpened_dot_product,
)
from scs_study.system import arguments
from scs_study.system.arguments import Size

PARAMETERISATIONS = ("may2022", "mar2022", "jax2022")
P_MIN = 0.1
P_MAX_JAX = 100.0
P_SCALE_MAR2022 = 5.0
Q_SCALE_MAR2022 = 0.3
P_STARTS = {"may2022": (1.0, 3.0), "mar2022": (math.e, math.e), "jax2022": (1.0, 3.0)}
Q_STARTS = {"may2022": 1e-3, "mar2022": math.exp(-1), "jax2022": 1e-3}


class _Sharpened2d(eqx.Module):
    """What both layers share: the geometry of a convolution, its kernels and one exponent per kernel."""

    weight: Array
    raw_p: Array | None
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    stride: tuple[int, ...] = eqx.field(static=True)
    padding: Padding = eqx.field(static=True)
    dilation: tuple[int, ...] = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    fixed_p: float | None = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def _set_up(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Padding,
        dilation: Size,
        groups: int,
        p: float | None,
        p_init: tuple[float, float] | None,
        eps: float,
    ) -> tuple[int, ...]:
        """Set the geometry and return the weight's shape. Raises ValueError for arguments that fit no layer."""
        arguments.check_channels(in_channels, out_channels, groups)
        arguments.check_exponent(p, p_init, P_MIN)
        arguments.check_not_negative(eps, "eps")
        kernel = arguments.at_least_one(kernel_size, 2, "kernel_size")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.stride = arguments.at_least_one(stride, 2, "stride")
        self.dilation = arguments.at_least_one(dilation, 2, "dilation")
        self.padding = padding if isinstance(padding, str) else arguments.sizes(padding, 2, "padding")
        arguments.padding_sides(padding, kernel, self.stride, self.dilation)
        self.fixed_p, self.eps = p, eps
        return (out_channels, in_channels // groups, *kernel)

    @property
    def p(self) -> Array:
        """The effective exponent of each kernel, (O,)."""
        raise NotImplementedError

    def _fixed(self) -> Array:
        assert self.fixed_p is not None
        return jnp.full((self.out_channels,), self.fixed_p, self.weight.dtype)

    def _power(self, x: Array) -> Array:
        raise NotImplementedError

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """Return the layer's output (O, H', W') for an image (C, H, W), or for a batch of them, as torch's layers.

        key is not used; eqx.nn.Sequential passes one.
        """
        arguments.check_input(x.shape, 2, self.in_channels, single=True)
        batch = x if x.ndim == 4 else x[None]
        y = self._power(batch)
        return y if x.ndim == 4 else y[0]


class SharpenedCosineSimilarity2d(_Sharpened2d):
    """Sharpened cosine similarity in the place of eqx.nn.Conv2d: (C, H, W) -> (O, H', W'), with or without a batch.

    The arguments up to groups are eqx.nn.Conv2d's, padding also 'same' or 'valid'; `weight` has its name and shape.

    parameterisation, one of
      may2022, mar2022  as in `scs_study.layers.SharpenedCosineSimilarity2d`
      jax2022           of the public JAX code: weights are stored plus w_max and p minus 1, so that both start in
                        [0, 2] (weight decay would draw them to -w_max and 1); forward clamps what it sees of them, p to
                        [0.1, 100], and 1e-6 stands under the root of a kernel's norm
    p       a fixed exponent for the whole layer; p=1 is the plain cosine
    p_init  (low, high) of the starting exponent in effective values
    key     for the starting numbers, drawn as in torch's layer

    `project()` returns the layer with its parameters clamped; call it after each step, as project_ in torch.
    Raises ValueError for arguments that fit no layer.
    """

    raw_q: Array
    parameterisation: str = eqx.field(static=True)
    w_max: float | None = eqx.field(static=True)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        *,
        key: Array,
        parameterisation: str = "may2022",
        p: float | None = None,
        p_init: tuple[float, float] | None = None,
        w_max: float | None = 1.0,
        eps: float = 1e-6,
        dtype: DTypeLike = jnp.float32,
    ) -> None:
        arguments.check_word(parameterisation, "parameterisation", PARAMETERISATIONS)
        arguments.check_w_max(w_max)
        if w_max is None and parameterisation == "jax2022":
            raise ValueError("jax2022 stores weights plus w_max: give it a number")
        shape = self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, p, p_init, eps
        )  # fmt: skip
        self.parameterisation = parameterisation
        self.w_max = None if parameterisation == "mar2022" else w_max
        for_weight, for_p = jax.random.split(key)
        bound = math.prod(shape[1:]) ** -0.5 if parameterisation == "mar2022" else w_max or 1.0
        self.weight = self.stored_weight(jax.random.uniform(for_weight, shape, dtype, -bound, bound))
        low, high = p_init or P_STARTS[parameterisation]
        drawn = jax.random.uniform(for_p, (out_channels,), dtype, low, high) if low < high else jnp.full(
            (out_channels,), low, dtype
        )  # fmt: skip
        self.raw_p = None if p is not None else self.stored_p(drawn)
        q = math.log(Q_STARTS[parameterisation])
        self.raw_q = jnp.asarray(-Q_SCALE_MAR2022 * q if parameterisation == "mar2022" else q, dtype)

    def stored_weight(self, weight: Array) -> Array:
        """Return what is stored for kernels that should be effective."""
        return weight + (self.w_max or 0.0) if self.parameterisation == "jax2022" else weight

    def stored_p(self, p: Array) -> Array:
        """Return what is stored for exponents that should be effective."""
        if self.parameterisation == "mar2022":
            return P_SCALE_MAR2022 * jnp.log(p)
        return p - 1 if self.parameterisation == "jax2022" else p

    @property
    def kernels(self) -> Array:
        """The effective kernels, (O, C/groups, kh, kw)."""
        if self.parameterisation != "jax2022":
            return self.weight
        assert self.w_max is not None
        return jnp.clip(self.weight - self.w_max, -self.w_max, self.w_max)

    @property
    def p(self) -> Array:
        """The effective exponent of each kernel, (O,)."""
        if self.raw_p is None:
            return self._fixed()
        if self.parameterisation == "mar2022":
            return jnp.exp(self.raw_p / P_SCALE_MAR2022)
        return jnp.clip(self.raw_p + 1, P_MIN, P_MAX_JAX) if self.parameterisation == "jax2022" else self.raw_p

    @property
    def q(self) -> Array:
        """The effective floor of the patch norm, ()."""
        return jnp.exp(-self.raw_q / Q_SCALE_MAR2022 if self.parameterisation == "mar2022" else self.raw_q)

    def project(self) -> SharpenedCosineSimilarity2d:
        """Return the layer with weights within w_max and a learned p of at least 0.1; for mar2022 the layer itself."""
        if self.parameterisation == "mar2022":
            return self
        layer = self
        if self.w_max is not None:
            kept = jnp.clip(self.kernels, -self.w_max, self.w_max)
            layer = eqx.tree_at(lambda found: found.weight, layer, self.stored_weight(kept))
        if self.raw_p is not None:
            layer = eqx.tree_at(lambda found: found.raw_p, layer, self.stored_p(jnp.maximum(self.p, P_MIN)))
        return layer

    def _power(self, x: Array) -> Array:
        return sharpened_cosine_similarity(
            x, self.kernels, self.p, self.q, stride=self.stride, padding=self.padding, dilation=self.dilation,
            groups=self.groups, eps=self.eps, kernel_eps=self.eps if self.parameterisation == "jax2022" else None,
        )  # fmt: skip


class SharpenedDotProduct2d(_Sharpened2d):
    """A convolution raised to a learned power: (C, H, W) -> (O, H', W'), with or without a batch.

    Weights start as in eqx.nn.Conv2d, p from p_init. `project()` returns the layer with p of at least 0.1. Raises
    ValueError for arguments that fit no layer.
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
        *,
        key: Array,
        p: float | None = None,
        p_init: tuple[float, float] | None = None,
        eps: float = 1e-6,
        dtype: DTypeLike = jnp.float32,
    ) -> None:
        shape = self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, p, p_init, eps
        )  # fmt: skip
        for_weight, for_p = jax.random.split(key)
        bound = math.prod(shape[1:]) ** -0.5
        self.weight = jax.random.uniform(for_weight, shape, dtype, -bound, bound)
        low, high = p_init or P_STARTS["may2022"]
        self.raw_p = None if p is not None else low + (high - low) * jax.random.uniform(for_p, (out_channels,), dtype)

    @property
    def p(self) -> Array:
        """The effective exponent of each kernel, (O,)."""
        return self._fixed() if self.raw_p is None else self.raw_p

    def project(self) -> SharpenedDotProduct2d:
        """Return the layer with a learned p of at least 0.1."""
        if self.raw_p is None:
            return self
        layer: SharpenedDotProduct2d = eqx.tree_at(lambda found: found.raw_p, self, jnp.maximum(self.raw_p, P_MIN))
        return layer

    def _power(self, x: Array) -> Array:
        return sharpened_dot_product(
            x, self.weight, self.p, stride=self.stride, padding=self.padding, dilation=self.dilation,
            groups=self.groups, eps=self.eps,
        )  # fmt: skip


class MaxAbsPool2d(eqx.Module):
    """Pooling that keeps the value of largest magnitude with its sign: (C, H, W) -> (C, H', W'), or a batch of them.

    kernel_size, stride, padding and ceil_mode are torch's nn.MaxPool2d's. Raises ValueError for sizes that fit no pool.
    """

    kernel_size: tuple[int, ...] = eqx.field(static=True)
    stride: tuple[int, ...] = eqx.field(static=True)
    padding: tuple[int, ...] = eqx.field(static=True)
    ceil_mode: bool = eqx.field(static=True)

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False
    ) -> None:
        self.kernel_size, self.stride, self.padding = pool_geometry(kernel_size, stride, padding)
        self.ceil_mode = ceil_mode

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """Return the pooled values; key is not used."""
        batch = x if x.ndim == 4 else x[None]
        y = max_abs_pool2d(batch, self.kernel_size, self.stride, self.padding, self.ceil_mode)
        return y if x.ndim == 4 else y[0]
