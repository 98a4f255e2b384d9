"""Conversion between torch and JAX: a layer, or a network that is a chain of layers, in one call."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from scs_study.interchange.chain import LAYER_SETTINGS, Chain, Step, as_array
from scs_study.jax.functional import max_abs_pool2d
from scs_study.jax.modules import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d

if TYPE_CHECKING:
    from torch import nn


class MaxPool2d(eqx.Module):
    """torch's nn.MaxPool2d, with its ceil_mode, which eqx.nn.MaxPool2d does not have: (C, H, W) -> (C, H', W')."""

    of_magnitudes: MaxAbsPool2d

    def __init__(self, **settings: Any) -> None:
        self.of_magnitudes = MaxAbsPool2d(**settings)

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """Return the largest values; key is not used."""
        pool = self.of_magnitudes
        batch = x if x.ndim == 4 else x[None]
        y = max_abs_pool2d(batch, pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode, magnitudes=False)
        return y if x.ndim == 4 else y[0]


class ReLU(eqx.Module):
    """max(x, 0). A module without leaves, so that jax.grad takes a network; eqx.nn.Lambda has a function for a leaf."""

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """Return x, or 0 where that is larger."""
        return jax.nn.relu(x)


class Flatten(eqx.Module):
    """An image (C, H, W) -> its numbers (C H W,)."""

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """Return the numbers of x, one after the other."""
        return jnp.ravel(x)


class Network(eqx.Module):
    """A chain of layers with names: an image (C, H, W) -> outputs (N,). jax.vmap(network) takes a batch of images."""

    layers: tuple[Any, ...]
    names: tuple[str, ...] = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        """Return what the last layer makes of x."""
        for layer in self.layers:
            x = layer(x)
        return x

    def project(self) -> Network:
        """Return the network with every layer's parameters within their bounds; call it after each step."""
        return Network(
            tuple(layer.project() if hasattr(layer, "project") else layer for layer in self.layers), self.names
        )


def from_torch(module: nn.Module) -> Any:
    """Return the JAX layer of a torch layer, or the `Network` of an nn.Sequential, with the same numbers.

    Raises ValueError for what is no chain of layers known here, and names it.
    """
    from torch import nn

    from scs_study.interchange import with_torch

    network = build(with_torch.read(module))
    return network if isinstance(module, nn.Sequential) else network.layers[0]


def to_torch(module: Any) -> nn.Module:
    """Return the torch layer of a JAX layer, or the nn.Sequential of a `Network`, on the CPU with the same numbers.

    A jax2022 layer becomes a may2022 one of its effective numbers, which leaves out the 1e-6 under the kernel's norm.
    """
    from scs_study.interchange import with_torch

    network = with_torch.build(read(module))
    return network if isinstance(module, Network) else network[0]


def read(module: Any) -> Chain:
    """Return the steps of a layer or `Network`. Raises ValueError for another module."""
    if isinstance(module, Network):
        return tuple(_read(name, layer) for name, layer in zip(module.names, module.layers, strict=True))
    return (_read("layer", module),)


def _read(name: str, layer: Any) -> Step:
    if isinstance(layer, (SharpenedCosineSimilarity2d, SharpenedDotProduct2d)):
        settings = {word: getattr(layer, word) for word in (*LAYER_SETTINGS, "eps")} | {"p": layer.fixed_p}
        arrays = {"weight": layer.weight} | ({} if layer.raw_p is None else {"raw_p": layer.raw_p})
        if isinstance(layer, SharpenedDotProduct2d):
            return Step("sdp", name, settings, _numpy(arrays))
        settings |= {"parameterisation": layer.parameterisation, "w_max": layer.w_max}
        if layer.parameterisation == "jax2022":
            settings["parameterisation"] = "may2022"
            arrays = {"weight": layer.kernels} | ({} if layer.raw_p is None else {"raw_p": layer.p})
        return Step("scs", name, settings, _numpy(arrays | {"raw_q": layer.raw_q}))
    if isinstance(layer, (MaxAbsPool2d, MaxPool2d)):
        pool = layer if isinstance(layer, MaxAbsPool2d) else layer.of_magnitudes
        settings = {word: getattr(pool, word) for word in ("kernel_size", "stride", "padding", "ceil_mode")}
        return Step("maxabspool" if pool is layer else "maxpool", name, settings)
    if isinstance(layer, (ReLU, Flatten)):
        return Step("relu" if isinstance(layer, ReLU) else "flatten", name)
    if isinstance(layer, (eqx.nn.Linear, eqx.nn.Conv2d)):
        biased = {} if layer.bias is None else {"bias": layer.bias.reshape(-1)}
        found = _numpy({"weight": layer.weight} | biased)
        if isinstance(layer, eqx.nn.Linear):
            return Step("linear", name, {}, found)
        sides = cast(tuple[tuple[int, int], ...], layer.padding)
        if layer.padding_mode.upper() != "ZEROS" or any(before != after for before, after in sides):
            raise ValueError(f"{name}: only a convolution padded with as many zeros on both sides can be converted")
        geometry = {word: getattr(layer, word) for word in ("stride", "dilation", "groups")}
        return Step("conv", name, geometry | {"padding": tuple(before for before, _ in sides)}, found)
    raise ValueError(f"{name}: {type(layer).__name__} cannot be converted")


def _numpy(arrays: dict[str, Array]) -> dict[str, Any]:
    return {name: as_array(values) for name, values in arrays.items()}


def build(chain: Chain) -> Network:
    """Return the network of a chain; its layers keep their names."""
    return Network(tuple(_layer(step) for step in chain), tuple(step.name for step in chain))


def _layer(step: Step) -> Any:
    settings = dict(step.settings)
    if step.kind in ("relu", "flatten"):
        return ReLU() if step.kind == "relu" else Flatten()
    if step.kind == "pisonipool":
        raise ValueError(f"{step.name}: Pisoni's pool has no form for JAX; MaxAbsPool2d has")
    if step.kind in ("maxpool", "maxabspool"):
        return (MaxPool2d if step.kind == "maxpool" else MaxAbsPool2d)(**settings)
    if step.kind == "pisoni":
        raise ValueError(f"{step.name}: Pisoni's layer has no form for JAX; the studied layers have")
    arrays = {name: jnp.asarray(values) for name, values in step.arrays.items()}
    weight, key = arrays["weight"], jax.random.key(0)  # what it draws is replaced
    layer: Any
    if step.kind == "linear":
        layer = eqx.nn.Linear(weight.shape[1], weight.shape[0], use_bias="bias" in arrays, key=key)
    else:
        shape = (weight.shape[1] * settings["groups"], weight.shape[0], tuple(weight.shape[2:]))
        if step.kind == "conv":
            settings["padding"] = _conv_padding(settings["padding"])
            layer = eqx.nn.Conv2d(*shape, use_bias="bias" in arrays, key=key, **settings)
        else:
            layer = (SharpenedCosineSimilarity2d if step.kind == "scs" else SharpenedDotProduct2d)(
                *shape, key=key, **settings
            )
    for name, values in arrays.items():
        layer = eqx.tree_at(attrgetter(name), layer, values.reshape(getattr(layer, name).shape))
    return layer


def _conv_padding(padding: Any) -> Any:
    return padding.upper() if isinstance(padding, str) else tuple((side, side) for side in padding)
