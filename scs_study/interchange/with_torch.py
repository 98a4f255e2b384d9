"""Reads a chain of steps off a torch network, and builds the network of a chain."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from scs_study.interchange.chain import LAYER_SETTINGS, Chain, Step, pair
from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d
from scs_study.layers.published import Pisoni, PisoniMaxAbsPool2d

_LAYERS = {SharpenedCosineSimilarity2d: "scs", SharpenedDotProduct2d: "sdp", nn.Conv2d: "conv"}
_POOLS = {nn.MaxPool2d: "maxpool", MaxAbsPool2d: "maxabspool"}


def read(network: nn.Module) -> Chain:
    """Return the steps of a layer, or of an nn.Sequential of layers (of Sequentials, if need be).

    Raises ValueError for a network that is no such chain, and names what is in the way.
    """
    if isinstance(network, nn.Sequential):
        return tuple(
            step if not inner else Step(step.kind, f"{name}.{step.name}", step.settings, step.arrays)
            for name, module in network.named_children()
            for inner in (isinstance(module, nn.Sequential),)
            for step in (read(module) if inner else _step(name, module))
        )
    return tuple(_step("layer", network))


def _step(name: str, module: nn.Module) -> list[Step]:
    kind = type(module)
    if kind is nn.Identity or isinstance(module, nn.Dropout):
        return []
    if kind in _LAYERS:
        return [Step(_LAYERS[kind], name, _settings(name, module), _arrays(module))]
    if isinstance(module, Pisoni):
        if module.bias is not None or not module.power or module.fixed_p is not None or max(module.dilation) > 1:
            raise ValueError(f"{name}: Pisoni's layer of Keras has a learned power and no dilation")
        words = ("stride", "padding", "groups", "shared_weights")
        return [Step("pisoni", name, {word: getattr(module, word) for word in words}, _arrays(module))]
    if isinstance(module, PisoniMaxAbsPool2d):
        return [Step("pisonipool", name, {"pool_size": module.pool_size, "pad_to_fit": module.pad_to_fit})]
    if kind in _POOLS:
        assert isinstance(module, (nn.MaxPool2d, MaxAbsPool2d))
        if pair(module.dilation) != (1, 1) or module.return_indices:
            raise ValueError(f"{name}: a pool with dilation or positions cannot be converted")
        sizes = {word: pair(getattr(module, word)) for word in ("kernel_size", "stride", "padding")}
        return [Step(_POOLS[kind], name, sizes | {"ceil_mode": module.ceil_mode})]
    if kind is nn.Linear:
        return [Step("linear", name, {}, _arrays(module))]
    if kind is nn.ReLU:
        return [Step("relu", name)]
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
        return [Step("flatten", name)]
    raise ValueError(
        f"{name}: {kind.__name__} cannot be converted; a chain of convolutions, SCS and SDP layers, max pools, ReLU, "
        f"Flatten and Linear can"
    )


def _settings(name: str, module: nn.Module) -> dict[str, Any]:
    if getattr(module, "padding_mode", "zeros") != "zeros":
        raise ValueError(f"{name}: padding mode {module.padding_mode} cannot be converted, only zeros")
    settings: dict[str, Any] = {word: getattr(module, word) for word in LAYER_SETTINGS}
    if isinstance(module, (SharpenedCosineSimilarity2d, SharpenedDotProduct2d)):
        settings |= {"p": module.fixed_p, "eps": module.eps}
    if isinstance(module, SharpenedCosineSimilarity2d):
        settings |= {"parameterisation": module.parameterisation, "w_max": module.w_max}
    return settings


def _arrays(module: nn.Module) -> dict[str, Any]:
    return {name: value.detach().cpu().float().numpy().copy() for name, value in module.named_parameters()}


def build(chain: Chain) -> nn.Sequential:
    """Return the nn.Sequential of a chain, on the CPU in float32; its layers keep their names."""
    network = nn.Sequential()
    for step in chain:
        *homes, name = step.name.split(".")
        home = network
        for inner in homes:
            if inner not in home._modules:
                home.add_module(inner, nn.Sequential(OrderedDict()))
            home = home.get_submodule(inner)  # type: ignore[assignment]
        home.add_module(name, _module(step))
    return network


def _module(step: Step) -> nn.Module:
    settings = dict(step.settings)
    if step.kind in ("relu", "flatten"):
        return nn.ReLU() if step.kind == "relu" else nn.Flatten()
    if step.kind == "pisonipool":
        return PisoniMaxAbsPool2d(**settings)
    if step.kind in ("maxpool", "maxabspool"):
        return (nn.MaxPool2d if step.kind == "maxpool" else MaxAbsPool2d)(**settings)
    weight, biased = step.arrays["weight"], "bias" in step.arrays
    module: nn.Module
    if step.kind == "linear":
        module = nn.Linear(weight.shape[1], weight.shape[0], bias=biased)
    else:
        shape = (weight.shape[1] * settings["groups"], weight.shape[0], tuple(weight.shape[2:]))
        if step.kind == "conv":
            module = nn.Conv2d(*shape, bias=biased, **settings)
        elif step.kind == "pisoni":
            repeats = settings["groups"] if settings["shared_weights"] else 1
            module = Pisoni(shape[0], shape[1] * repeats, shape[2], **settings)
        else:
            module = (SharpenedCosineSimilarity2d if step.kind == "scs" else SharpenedDotProduct2d)(*shape, **settings)
    state: dict[str, Tensor] = {name: torch.from_numpy(values.copy()) for name, values in step.arrays.items()}
    module.load_state_dict(module.state_dict() | state)
    return module
