"""The layers of Pisoni's blog post "Sharpened Cosine Similarity: Part 2", by the arguments that it gives them."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from scs_study.keras.functional import Pair, check_images, convolution, pad, signed_power, wide, window_sums
from scs_study.system import arguments
from scs_study.system.arguments import Size

SHORTEST = 1e-6  # of a patch or kernel
EPS = 1e-12


@keras.saving.register_keras_serializable("scs_study")
class CosSim2D(keras.layers.Layer):  # type: ignore[misc]
    """Pisoni's layer of January 2022, kernel first and units second: (B, H, W, C) -> (B, H', W', units).

    y = sgn(c) (|c| + 1e-12)^(p^2/100), c = x.w / ((|x| + q^2/10)(|w| + q^2/10)), lengths at least 1e-6; p one per unit,
    from 10, q one a layer, from sqrt(10), so that both start with an effect of 1. `w` has the published shape,
    (1, C k^2, units), its rows in the order of Conv2D's kernel.

    depthwise_separable  one bank of kernels for all channels: units * C outputs, all channels of a unit together
    padding              'valid', or 'same': kernel_size // 2 zeros on each side, with strides, too. As published, for a
                         kernel of 5 not the pixels that are meant are seen; here they are (docs/layers.md, "five").

    Raises ValueError for arguments that fit no layer. Source: systems.md 1.5; `Pisoni` of scs_study.layers.published.
    """

    def __init__(
        self,
        kernel_size: int,
        units: int = 32,
        stride: int = 1,
        depthwise_separable: bool = False,
        padding: str = "valid",
        **kwargs: Any,
    ) -> None:
        self.kernel_size = arguments.at_least_one(kernel_size, 2, "kernel_size")
        self.stride = arguments.at_least_one(stride, 2, "stride")
        arguments.check_channels(1, units, 1)
        arguments.padding_sides(padding, self.kernel_size, self.stride, (1, 1), strided_same=True)
        if not isinstance(padding, str):
            raise ValueError(f"padding must be 'same' or 'valid', got {padding!r}")
        super().__init__(**kwargs)
        self.units, self.depthwise_separable, self.padding = units, depthwise_separable, padding

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what Keras returns, of images that fit. Raises ValueError, which Keras would wrap within `call`."""
        check_images(inputs, self.channels if self.built else None, True)
        return super().__call__(inputs, *args, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Make the weights for images of `input_shape`."""
        arguments.check_input(input_shape, 2, None, True)
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(f"expected images with a known number of channels, got shape {tuple(input_shape)}")
        fan = math.prod(self.kernel_size) * (1 if self.depthwise_separable else channels)
        self.w = self.add_weight(name="w", shape=(1, fan, self.units), initializer="glorot_uniform")
        self.p = self.add_weight(name="p", shape=(self.units,), initializer=keras.initializers.Constant(10.0))
        self.q = self.add_weight(name="q", shape=(1,), initializer=keras.initializers.Constant(math.sqrt(10)))
        self.channels = channels
        self.built = True

    @property
    def _around(self) -> Pair:
        rows, columns = self.kernel_size
        return (rows // 2, columns // 2) if self.padding == "same" else (0, 0)

    def call(self, inputs: Any) -> Any:
        """Return the layer's output for a batch of images."""
        rows, columns = self._around
        x = pad(inputs, ((rows, rows), (columns, columns)), True)
        height, width, channels = x.shape[1:]
        if not self.depthwise_separable:
            return self._similarity(x)
        one_each = ops.reshape(ops.moveaxis(x, -1, 1), (-1, height, width, 1))
        y = self._similarity(one_each)
        y = ops.reshape(y, (-1, channels, *y.shape[1:]))
        y = ops.moveaxis(y, 1, -1)
        return ops.reshape(y, (-1, *y.shape[1:3], self.units * channels))

    def _similarity(self, x: Any) -> Any:
        dtype = wide(self.compute_dtype)
        stride = (self.stride[0], self.stride[1])
        q = ops.square(ops.cast(self.q, dtype)) / 10
        kernels = ops.reshape(ops.cast(self.w, dtype), (*self.kernel_size, -1, self.units))
        energy = ops.sum(ops.square(kernels), axis=(0, 1, 2), keepdims=True)
        kernels = kernels / (ops.sqrt(ops.maximum(energy, SHORTEST**2)) + q)
        z = convolution(x, ops.cast(kernels, self.compute_dtype), stride, (1, 1), True)
        size = (self.kernel_size[0], self.kernel_size[1])
        sums = window_sums(ops.square(ops.cast(x, dtype)), size, stride, (1, 1), 1, True)
        c = ops.cast(z, dtype) / (ops.sqrt(ops.maximum(sums, SHORTEST**2)) + q)
        return ops.cast(signed_power(c, ops.square(ops.cast(self.p, dtype)) / 100, EPS, True), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of the layer's output for images of `input_shape`."""
        geometry = zip(input_shape[1:3], self.kernel_size, self.stride, self._around, strict=True)
        sizes = [None if size is None else (size + 2 * side - k) // s + 1 for size, k, s, side in geometry]
        return (input_shape[0], *sizes, self.units * (input_shape[-1] if self.depthwise_separable else 1))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for saving."""
        names = ("kernel_size", "units", "stride", "depthwise_separable", "padding")
        config: dict[str, Any] = super().get_config()
        return config | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("scs_study")
class MaxAbsPool2D(keras.layers.Layer):  # type: ignore[misc]
    """Pisoni's pool: the value of largest magnitude in windows side by side, with its sign: (B, H, W, C).

    pad_to_fit  False leaves out the rows and columns that fill no window; True puts zeros around the image, half of
                them before it, so that all do (as published for a pool of 2; there it fails for others); "end" puts all
                of them behind it, which is torch's ceil_mode.
    ties        of equal magnitudes of opposite sign, the "first" row by row, as published, or the "positive", as
                MaxAbsPool2d of torch.

    Raises ValueError for arguments that fit no pool.
    """

    def __init__(self, pool_size: Size, pad_to_fit: bool | str = False, *, ties: str = "first", **kwargs: Any) -> None:
        self.pool_size = arguments.at_least_one(pool_size, 2, "pool_size")
        if ties not in ("first", "positive"):
            raise ValueError(f"ties must be first or positive, got {ties!r}")
        self.ties = ties
        if pad_to_fit not in (False, True, "end"):
            raise ValueError(f"pad_to_fit must be False, True or 'end', got {pad_to_fit!r}")
        super().__init__(**kwargs)
        self.pad_to_fit = pad_to_fit

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what Keras returns, of images. Raises ValueError, which Keras would wrap within `call`."""
        check_images(inputs, None, True)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any) -> Any:
        """Return the pooled images."""
        rows, columns = self.pool_size
        if self.pad_to_fit:
            extra = [-side % k for side, k in zip(inputs.shape[1:3], self.pool_size, strict=True)]
            before = [0 if self.pad_to_fit == "end" else side // 2 for side in extra]
            inputs = pad(inputs, tuple((b, side - b) for b, side in zip(before, extra, strict=True)), True)
        height, width, channels = inputs.shape[1] // rows, inputs.shape[2] // columns, inputs.shape[3]
        windows = inputs[:, : height * rows, : width * columns]
        windows = ops.reshape(windows, (-1, height, rows, width, columns, channels))
        windows = ops.transpose(windows, (0, 1, 3, 5, 2, 4))
        windows = ops.reshape(windows, (-1, height, width, channels, rows * columns))
        if self.ties == "positive":
            high, low = ops.max(windows, axis=-1), -ops.min(windows, axis=-1)
            return ops.where(high >= low, high, -low)
        largest = ops.argmax(ops.abs(windows), axis=-1, keepdims=True)
        return ops.squeeze(ops.take_along_axis(windows, largest, axis=-1), axis=-1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of the pool's output for images of `input_shape`."""
        sides = zip(input_shape[1:3], self.pool_size, strict=True)
        sizes = [None if n is None else -(-n // k) if self.pad_to_fit else n // k for n, k in sides]
        return (input_shape[0], *sizes, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for saving."""
        config: dict[str, Any] = super().get_config()
        return config | {"pool_size": self.pool_size, "pad_to_fit": self.pad_to_fit, "ties": self.ties}


def Sequential(*layers: Any, name: str | None = None) -> keras.Sequential:  # named as the class it stands for
    """Return keras.Sequential of layers given one by one, as the blog post prints them, or as its list."""
    listed = len(layers) == 1 and isinstance(layers[0], (list, tuple))
    return keras.Sequential(list(layers[0] if listed else layers), name=name)
