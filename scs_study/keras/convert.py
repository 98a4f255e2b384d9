"""Conversion between torch and Keras: a layer, or a network that is a chain of layers, in one call.

Keras' networks are channels last: the rows of a Dense layer behind a Flatten are put in order, since torch flattens
channels first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from scs_study.interchange.chain import Chain, Step, as_array, pair
from scs_study.keras.blog import CosSim2D, MaxAbsPool2D
from scs_study.keras.layers import SharpenedCosineSimilarity2D, SharpenedDotProduct2D

if TYPE_CHECKING:
    from torch import nn


def from_torch(module: nn.Module, input_shape: tuple[int, int, int] | None = None) -> Any:
    """Return the Keras layer of a torch layer, or the keras.Sequential of an nn.Sequential, with the same numbers.

    input_shape: (channels, height, width) of the images of a network; a single layer does without.
    Raises ValueError for what is no chain of layers known here, and names it.
    """
    from torch import nn

    from scs_study.interchange import with_torch

    chain = with_torch.read(module)
    if isinstance(module, nn.Sequential):
        if input_shape is None:
            raise ValueError("a network needs input_shape=(channels, height, width) of its images")
        return build(chain, input_shape)
    (step,) = chain
    layers = _layers(step)
    if len(layers) != 1:
        raise ValueError("a padded nn.Conv2d is two layers in Keras: put it into an nn.Sequential")
    if "weight" in step.arrays:
        shared = step.settings.get("shared_weights", False)
        channels = step.arrays["weight"].shape[1] * step.settings.get("groups", 1)
        layers[0].build((None, channels) if step.kind == "linear" else (None, None, None, channels))
        _set_weights(layers[0], step, None, shared)
    return layers[0]


def to_torch(model: Any) -> nn.Module:
    """Return the torch layer of a built Keras layer, or the nn.Sequential of a built keras.Sequential, on the CPU.

    Raises ValueError for what has no form in torch here, and names it.
    """
    from scs_study.interchange import with_torch

    network = with_torch.build(read(model))
    return network if isinstance(model, keras.Sequential) else network[0]


def build(chain: Chain, input_shape: tuple[int, int, int]) -> keras.Sequential:
    """Return the keras.Sequential of a chain for images (channels, height, width), which it takes channels last."""
    channels, height, width = input_shape
    model = keras.Sequential([keras.Input((height, width, channels))])
    flattened: tuple[int, ...] | None = None
    for step in chain:
        shape = tuple(model.layers[-1].output.shape) if model.layers else (None, height, width, channels)
        for layer in _layers(step, shape):
            model.add(layer)
        if step.kind == "flatten":
            flattened = tuple(shape[1:])
        elif "weight" in step.arrays:
            _set_weights(model.layers[-1], step, flattened, step.settings.get("shared_weights", False))
            flattened = None
    return model


def _layers(step: Step, shape: tuple[Any, ...] | None = None) -> list[Any]:
    """Return the Keras layers of a step whose input has `shape`, not yet built."""
    settings, name = dict(step.settings), step.name
    if step.kind in ("relu", "flatten"):
        return [keras.layers.ReLU(name=name) if step.kind == "relu" else keras.layers.Flatten(name=name)]
    if step.kind == "pisonipool":
        return [MaxAbsPool2D(settings["pool_size"], settings["pad_to_fit"], name=name)]
    if step.kind in ("maxpool", "maxabspool"):
        return [_pool(step, shape)]
    weight, biased = step.arrays["weight"], "bias" in step.arrays
    if step.kind == "linear":
        return [keras.layers.Dense(weight.shape[0], use_bias=biased, name=name)]
    kernel, stride = tuple(weight.shape[2:]), settings.pop("stride")
    if step.kind == "pisoni":
        return [_blog_layer(step, kernel, pair(stride))]
    dilation = settings.pop("dilation")
    geometry = {"strides": stride, "dilation_rate": dilation, "groups": settings.pop("groups"), "name": name}
    padding = settings.pop("padding")
    if step.kind != "conv":
        make = SharpenedCosineSimilarity2D if step.kind == "scs" else SharpenedDotProduct2D
        return [make(weight.shape[0], kernel, padding=padding, data_format="channels_last", **geometry, **settings)]
    geometry |= {"use_bias": biased, "data_format": "channels_last"}
    if isinstance(padding, str):
        return [keras.layers.Conv2D(weight.shape[0], kernel, padding=padding, **geometry)]
    around = [keras.layers.ZeroPadding2D(padding, name=f"{name}_padding")] if any(padding) else []
    return [*around, keras.layers.Conv2D(weight.shape[0], kernel, **geometry)]


def _blog_layer(step: Step, kernel: tuple[int, ...], stride: tuple[int, int]) -> CosSim2D:
    settings, units = step.settings, step.arrays["weight"].shape[0]
    words = {(0, 0): "valid", tuple(k // 2 for k in kernel): "same"}
    around = settings["padding"]
    odd = all(k % 2 for k in kernel)
    padding = (around if around == "valid" or odd else None) if isinstance(around, str) else words.get(pair(around))
    shared = settings["shared_weights"]
    if padding is None or (settings["groups"] != 1 and not shared):
        raise ValueError(f"{step.name}: CosSim2D of Keras pads by half a kernel or not, and knows no groups")
    return CosSim2D(kernel, units, stride, shared, padding, name=step.name)  # type: ignore[arg-type]


def _pool(step: Step, shape: tuple[Any, ...] | None) -> Any:
    settings = step.settings
    kernel, stride, padding = settings["kernel_size"], settings["stride"], settings["padding"]
    if stride != kernel or padding != (0, 0):
        raise ValueError(f"{step.name}: only a pool of windows side by side, without padding, can be converted")
    if step.kind == "maxabspool":
        return MaxAbsPool2D(kernel, "end" if settings["ceil_mode"] else False, ties="positive", name=step.name)
    if not settings["ceil_mode"]:
        return keras.layers.MaxPooling2D(kernel, name=step.name)
    if shape is None or any(-size % k > 1 for size, k in zip(shape[1:3], kernel, strict=True)):
        raise ValueError(f"{step.name}: MaxPooling2D of Keras pads on both sides, where ceil_mode pads behind")
    return keras.layers.MaxPooling2D(kernel, padding="same", name=step.name)


def _set_weights(layer: Any, step: Step, flattened: tuple[int, ...] | None, shared: bool) -> None:
    """Put the arrays of a step into its built layer. flattened: (H, W, C) of what a Flatten before it had."""
    arrays = dict(step.arrays)
    weight = arrays.pop("weight")
    if step.kind == "linear":
        rows = weight.T
        if flattened is not None and len(flattened) == 3:
            height, width, channels = flattened
            rows = rows.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(rows.shape)
        layer.kernel.assign(rows)
    elif step.kind == "pisoni":
        layer.w.assign(weight.transpose(2, 3, 1, 0).reshape(layer.w.shape))
        layer.p.assign(arrays.pop("raw_p"))
        layer.q.assign(arrays.pop("raw_q").reshape(1))
    else:
        layer.kernel.assign(weight.transpose(2, 3, 1, 0))
    for name, values in arrays.items():
        getattr(layer, name).assign(values)


def read(model: Any) -> Chain:
    """Return the steps of a built layer or keras.Sequential. Raises ValueError for what has no form here."""
    return tuple(_read(model.layers if isinstance(model, keras.Sequential) else [model]))


def _read(layers: list[Any]) -> Iterator[Step]:
    padding: tuple[int, int] | None = None
    flattened: tuple[int, ...] | None = None
    for layer in layers:
        if isinstance(layer, (keras.layers.InputLayer, keras.layers.Dropout)):
            continue
        if isinstance(layer, keras.layers.ZeroPadding2D):
            (top, bottom), (left, right) = layer.padding
            if top != bottom or left != right:
                raise ValueError(f"{layer.name}: only as many zeros on both sides can be converted")
            padding = (top, left)
            continue
        step = _step(layer, padding, flattened)
        if padding is not None and step.kind != "conv":
            raise ValueError(f"{layer.name}: zeros can be put only before a Conv2D")
        yield step
        padding = None
        if step.kind == "flatten":
            flattened = tuple(layer.input.shape[1:])
        elif step.arrays:
            flattened = None


def _step(layer: Any, padding: tuple[int, int] | None, flattened: tuple[int, ...] | None) -> Step:
    name = layer.name
    if getattr(layer, "data_format", "channels_last") != "channels_last" and not isinstance(
        layer, keras.layers.Flatten
    ):
        raise ValueError(f"{name}: only layers with channels last can be converted")
    activation = getattr(layer, "activation", None)
    is_relu = isinstance(layer, keras.layers.Activation) and activation is keras.activations.relu
    if is_relu or (isinstance(layer, keras.layers.ReLU) and layer.max_value is None and not layer.negative_slope):
        return Step("relu", name)
    if activation not in (None, keras.activations.linear):
        raise ValueError(f"{name}: give the activation a layer of its own")
    if isinstance(layer, keras.layers.Flatten):
        return Step("flatten", name)
    if isinstance(layer, (keras.layers.MaxPooling2D, MaxAbsPool2D)):
        return _read_pool(layer)
    if isinstance(layer, keras.layers.Dense):
        rows = as_array(keras.ops.convert_to_numpy(layer.kernel))
        if flattened is not None and len(flattened) == 3:
            height, width, channels = flattened
            rows = rows.reshape(height, width, channels, -1).transpose(2, 0, 1, 3).reshape(rows.shape)
        return Step("linear", name, {}, {"weight": rows.T.copy()} | _bias(layer))
    if isinstance(layer, CosSim2D):
        return _read_blog_layer(layer)
    if isinstance(layer, (SharpenedCosineSimilarity2D, SharpenedDotProduct2D, keras.layers.Conv2D)):
        return _read_convolution(layer, padding)
    raise ValueError(f"{name}: {type(layer).__name__} cannot be converted")


def _read_convolution(layer: Any, padding: tuple[int, int] | None) -> Step:
    around = layer.padding if padding is None else padding
    if around == "same" and max(layer.strides) > 1:
        raise ValueError(f"{layer.name}: padding 'same' with strides has no form in torch")
    settings: dict[str, Any] = {
        "stride": pair(layer.strides),
        "padding": around if isinstance(around, str) else pair(around),
        "dilation": pair(layer.dilation_rate),
        "groups": layer.groups,
    }
    arrays = {"weight": _numpy(layer.kernel).transpose(3, 2, 0, 1).copy()}
    if isinstance(layer, keras.layers.Conv2D):
        return Step("conv", layer.name, settings, arrays | _bias(layer))
    settings |= {"p": layer.fixed_p, "eps": layer.eps}
    if layer.raw_p is not None:
        arrays["raw_p"] = _numpy(layer.raw_p)
    if isinstance(layer, SharpenedDotProduct2D):
        return Step("sdp", layer.name, settings, arrays)
    settings |= {"parameterisation": layer.parameterisation, "w_max": layer.w_max}
    return Step("scs", layer.name, settings, arrays | {"raw_q": _numpy(layer.raw_q)})


def _read_blog_layer(layer: CosSim2D) -> Step:
    rows, columns = layer.kernel_size
    weight = _numpy(layer.w).reshape(rows, columns, -1, layer.units).transpose(3, 2, 0, 1).copy()
    settings = {
        "stride": pair(layer.stride),
        "padding": (rows // 2, columns // 2) if layer.padding == "same" else (0, 0),
        "groups": layer.channels if layer.depthwise_separable else 1,
        "shared_weights": layer.depthwise_separable,
    }
    return Step(
        "pisoni",
        layer.name,
        settings,
        {"weight": weight, "raw_p": _numpy(layer.p), "raw_q": _numpy(layer.q).reshape(())},
    )


def _read_pool(layer: Any) -> Step:
    size = pair(layer.pool_size)
    if isinstance(layer, MaxAbsPool2D):
        if layer.ties == "first" and layer.pad_to_fit != "end":
            return Step("pisonipool", layer.name, {"pool_size": size, "pad_to_fit": layer.pad_to_fit})
        if layer.ties == "first" or layer.pad_to_fit is True:
            raise ValueError(f"{layer.name}: torch's MaxAbsPool2d has ties='positive' and pads behind, with 'end'")
        fills = bool(layer.pad_to_fit)
    else:
        if pair(layer.strides) != size:
            raise ValueError(f"{layer.name}: only a pool of windows side by side can be converted")
        fills = layer.padding == "same"
        sides = layer.input.shape[1:3] if fills else ()
        if any(side is None or -side % k > 1 for side, k in zip(sides, size, strict=False)):
            raise ValueError(f"{layer.name}: pads on both sides, where torch's ceil_mode pads behind")
    settings = {"kernel_size": size, "stride": size, "padding": (0, 0), "ceil_mode": fills}
    return Step("maxabspool" if isinstance(layer, MaxAbsPool2D) else "maxpool", layer.name, settings)


def _bias(layer: Any) -> dict[str, Any]:
    return {"bias": _numpy(layer.bias)} if layer.use_bias else {}


def _numpy(variable: Any) -> np.ndarray[Any, Any]:
    return as_array(keras.ops.convert_to_numpy(variable))
