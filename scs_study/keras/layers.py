"""The studied layers, by the arguments of keras.layers.Conv2D."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from scs_study.keras.functional import (
    Pair,
    check_images,
    convolution,
    pad,
    repeated,
    same_sides,
    signed_power,
    unit_kernels,
    wide,
    window_sums,
)
from scs_study.keras.weights import LogUniform, Within
from scs_study.system import arguments
from scs_study.system.arguments import Sides, Size

PARAMETERISATIONS = ("may2022", "mar2022")
P_MIN = 0.1
P_SCALE_MAR2022 = 5.0
Q_SCALE_MAR2022 = 0.3


class _Sharpened2D(keras.layers.Layer):  # type: ignore[misc]
    """What both layers share: Conv2D's geometry and arguments, the kernels and one exponent per kernel."""

    parameterisation = "may2022"

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        strides: Size = (1, 1),
        padding: Size | str = "valid",
        data_format: str | None = None,
        dilation_rate: Size = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = False,
        kernel_initializer: Any = None,
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        *,
        p: float | None = None,
        p_init: tuple[float, float] | None = None,
        eps: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        if use_bias:
            raise ValueError(f"{type(self).__name__} has no bias: pass use_bias=False")
        arguments.check_channels(groups, filters, groups)
        arguments.check_exponent(p, p_init, P_MIN)
        arguments.check_not_negative(eps, "eps")
        self.filters, self.groups = filters, groups
        self.kernel_size = arguments.at_least_one(kernel_size, 2, "kernel_size")
        self.strides = arguments.at_least_one(strides, 2, "strides")
        self.dilation_rate = arguments.at_least_one(dilation_rate, 2, "dilation_rate")
        self.padding = padding.lower() if isinstance(padding, str) else arguments.sizes(padding, 2, "padding")
        words = padding.lower() if isinstance(padding, str) else padding
        arguments.padding_sides(words, self.kernel_size, self.strides, self.dilation_rate, strided_same=True)
        super().__init__(**kwargs)
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_first", "channels_last"):
            raise ValueError(f"data_format must be channels_first or channels_last, got {data_format!r}")
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.fixed_p, self.p_init, self.eps = p, None if p_init is None else tuple(p_init), eps

    @property
    def _last(self) -> bool:
        return bool(self.data_format == "channels_last")

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what Keras returns, of images that fit. Raises ValueError, which Keras would wrap within `call`."""
        check_images(inputs, self.kernel.shape[2] * self.groups if self.built else None, self._last)
        return super().__call__(inputs, *args, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Make the weights for images of `input_shape`. Raises ValueError where groups do not fit its channels."""
        arguments.check_input(input_shape, 2, None, self._last)
        channels = input_shape[-1 if self._last else 1]
        if channels is None:
            raise ValueError(f"expected images with a known number of channels, got shape {tuple(input_shape)}")
        arguments.check_channels(channels, self.filters, self.groups)
        start = self.kernel_initializer or self._kernel_start(channels // self.groups)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels // self.groups, self.filters),
            initializer=start,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.raw_p = None
        if self.fixed_p is None:
            self.raw_p = self.add_weight(
                name="raw_p", shape=(self.filters,), initializer=self._p_start(), constraint=self._p_bounds()
            )

    def _kernel_start(self, channels: int) -> keras.initializers.Initializer:
        bound = (channels * math.prod(self.kernel_size)) ** -0.5  # nn.Conv2d's
        return keras.initializers.RandomUniform(-bound, bound)

    def _p_start(self) -> keras.initializers.Initializer:
        low, high = self.p_init or (1.0, 3.0)
        return keras.initializers.RandomUniform(low, high)

    def _p_bounds(self) -> keras.constraints.Constraint | None:
        return Within(P_MIN, None)

    def _exponent(self, dtype: str) -> Any:
        return self.fixed_p if self.raw_p is None else ops.cast(self.raw_p, dtype)

    def _sides(self, shape: Any) -> Sides:
        if self.padding != "same":
            return arguments.padding_sides(self.padding, self.kernel_size, self.strides, self.dilation_rate)
        places = shape[1:3] if self._last else shape[2:4]
        geometry = zip(places, self.kernel_size, self.strides, self.dilation_rate, strict=True)
        return tuple(same_sides(*side) for side in geometry)

    def _padded(self, inputs: Any) -> tuple[Any, Pair, Pair]:
        strides, dilation = (self.strides[0], self.strides[1]), (self.dilation_rate[0], self.dilation_rate[1])
        return pad(inputs, self._sides(inputs.shape), self._last), strides, dilation

    def _finished(self, c: Any) -> Any:
        y = signed_power(c, self._exponent(wide(self.compute_dtype)), self.eps, self._last)
        y = ops.cast(y, self.compute_dtype)
        return y if self.activation is None else self.activation(y)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of the layer's output for images of `input_shape`."""
        places = input_shape[1:3] if self._last else input_shape[2:4]
        sizes: list[int | None] = []
        for axis, size in enumerate(places):
            k, s, d = self.kernel_size[axis], self.strides[axis], self.dilation_rate[axis]
            if size is None:
                sizes.append(None)
            elif self.padding == "same":
                sizes.append(-(-size // s))
            else:
                before, after = self._sides(input_shape)[axis]
                sizes.append((size + before + after - d * (k - 1) - 1) // s + 1)
        return (input_shape[0], *sizes, self.filters) if self._last else (input_shape[0], self.filters, *sizes)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for saving."""
        config: dict[str, Any] = super().get_config()
        names = (
            "filters",
            "kernel_size",
            "strides",
            "padding",
            "data_format",
            "dilation_rate",
            "groups",
            "p_init",
            "eps",
        )
        return config | {name: getattr(self, name) for name in names} | {
            "p": self.fixed_p,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
        }  # fmt: skip


@keras.saving.register_keras_serializable("scs_study")
class SharpenedCosineSimilarity2D(_Sharpened2D):
    """Sharpened cosine similarity in the place of Conv2D: (B, H, W, C) -> (B, H', W', filters), or channels first.

    The arguments up to kernel_constraint are keras.layers.Conv2D's; there is no bias. padding may also be one int or
    two, as in torch. `kernel` has Conv2D's name and shape; norm and power are in float32 under mixed precision.

    parameterisation, p, p_init, w_max, eps: as in `scs_study.layers.SharpenedCosineSimilarity2d` of torch. The bounds
    of may2022 are constraints of the weights, which Keras applies after each step; a kernel_constraint takes the place
    of w_max.

    Raises ValueError for arguments that fit no layer.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        *args: Any,
        parameterisation: str = "may2022",
        w_max: float | None = 1.0,
        **kwargs: Any,
    ) -> None:
        arguments.check_word(parameterisation, "parameterisation", PARAMETERISATIONS)
        arguments.check_w_max(w_max)
        super().__init__(filters, kernel_size, *args, **kwargs)
        self.parameterisation = parameterisation
        self.w_max = w_max if parameterisation == "may2022" else None
        if self.kernel_constraint is None and self.w_max is not None:
            self.kernel_constraint = Within(-self.w_max, self.w_max)

    def build(self, input_shape: Any) -> None:
        """Make the weights for images of `input_shape`. Raises ValueError where groups do not fit its channels."""
        super().build(input_shape)
        start = math.log(1e-3) if self.parameterisation == "may2022" else Q_SCALE_MAR2022
        self.raw_q = self.add_weight(name="raw_q", shape=(), initializer=keras.initializers.Constant(start))
        self.built = True

    def _kernel_start(self, channels: int) -> keras.initializers.Initializer:
        if self.parameterisation == "mar2022":
            return super()._kernel_start(channels)
        bound = self.w_max or 1.0
        return keras.initializers.RandomUniform(-bound, bound)

    def _p_start(self) -> keras.initializers.Initializer:
        if self.parameterisation == "may2022":
            return super()._p_start()
        low, high = self.p_init or (math.e, math.e)
        return LogUniform(low, high, P_SCALE_MAR2022)

    def _p_bounds(self) -> keras.constraints.Constraint | None:
        return super()._p_bounds() if self.parameterisation == "may2022" else None

    def _exponent(self, dtype: str) -> Any:
        p = super()._exponent(dtype)
        return p if self.raw_p is None or self.parameterisation == "may2022" else ops.exp(p / P_SCALE_MAR2022)

    def call(self, inputs: Any) -> Any:
        """Return the layer's output for a batch of images."""
        dtype = wide(self.compute_dtype)
        x, strides, dilation = self._padded(inputs)
        kernels = ops.cast(unit_kernels(self.kernel, dtype), self.compute_dtype)
        z = ops.cast(convolution(x, kernels, strides, dilation, self._last), dtype)
        size = (self.kernel_size[0], self.kernel_size[1])
        sums = window_sums(ops.square(ops.cast(x, dtype)), size, strides, dilation, self.groups, self._last)
        raw_q = ops.cast(self.raw_q, dtype)
        q = ops.exp(raw_q if self.parameterisation == "may2022" else -raw_q / Q_SCALE_MAR2022)
        length = repeated(ops.sqrt(sums + self.eps) + q, self.filters // self.groups, self._last)
        return self._finished(z / length)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for saving."""
        config: dict[str, Any] = super().get_config()
        return config | {"parameterisation": self.parameterisation, "w_max": self.w_max}


@keras.saving.register_keras_serializable("scs_study")
class SharpenedDotProduct2D(_Sharpened2D):
    """A convolution raised to a learned power: (B, H, W, C) -> (B, H', W', filters), or channels first.

    Arguments and errors as for `SharpenedCosineSimilarity2D`; kernels start as nn.Conv2d's of torch.
    """

    def build(self, input_shape: Any) -> None:
        """Make the weights for images of `input_shape`. Raises ValueError where groups do not fit its channels."""
        super().build(input_shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Return the layer's output for a batch of images."""
        x, strides, dilation = self._padded(inputs)
        z = convolution(x, self.kernel, strides, dilation, self._last)
        return self._finished(ops.cast(z, wide(self.compute_dtype)))
