"""Turns a convolutional network into a variant: its convolutions, pools, activations and norms converted in place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules import activation as activations
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from scs_study.config.schema import LayerConfig
from scs_study.layers import MaxAbsPool2d
from scs_study.layers.registry import LAYERS, layer_types
from scs_study.models.frozen import Frozen, learning

MAX_POOLS = (nn.MaxPool1d, nn.MaxPool3d, nn.AdaptiveMaxPool2d, nn.FractionalMaxPool2d)
OTHER_NORM = "is another norm than BatchNorm2d"
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm, nn.RMSNorm)
_ACTIVATIONS = ("relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish",
                "hardtanh", "hardsigmoid", "softplus", "prelu", "rrelu", "logsigmoid", "sigmoid", "tanh")  # fmt: skip
ACTIVATION_CALLS = (*(getattr(home, name) for home in (F, torch) for name in _ACTIVATIONS if hasattr(home, name)),
                    "relu", "relu_", "sigmoid", "sigmoid_", "tanh", "tanh_")  # fmt: skip
NORM_CALLS = (F.batch_norm, torch.batch_norm, F.group_norm, torch.group_norm, F.layer_norm, torch.layer_norm,
              F.instance_norm, torch.instance_norm, F.local_response_norm, F.rms_norm, torch.rms_norm)  # fmt: skip
POOL_CALLS = (F.max_pool2d, torch.max_pool2d, F.adaptive_max_pool2d)
CONV_CALLS = (F.conv2d, torch.conv2d)


@dataclass(frozen=True)
class ConversionReport:
    """What was converted, and what was left although a variant has it otherwise: module paths; of the latter, reasons.

    unbiased: those of the converted whose bias is gone, since neither SCS nor SDP has one (systems.md 1.1, 7).
    A function that is called in a forward method (F.relu) is no module: it is found by tracing, and named by its call.
    """

    converted: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    unbiased: tuple[str, ...]


def convert(network: nn.Module, layer: LayerConfig, activation: str, pooling: str, norm: str) -> ConversionReport:
    """Return what was converted in `network`, which is changed in place.

    Kernel size, stride, padding, dilation, groups, device, dtype and whether it learns are carried over; so is the
    weight, times `layer.weight_scale`.
    """
    # Before anything is converted: a forward method may ask a module of the network for more than its output.
    calls = list(_calls(network, layer, activation, pooling, norm))
    report = convert_modules(network, layer, activation, pooling, norm)
    named = {path for path, _ in report.left}
    found = [(path, why) for path, why in calls if path not in named]
    return ConversionReport(report.converted, (*report.left, *found), report.unbiased)


def convert_modules(
    network: nn.Module, layer: LayerConfig, activation: str, pooling: str, norm: str
) -> ConversionReport:
    """Return what `convert` returns, but for calls of functions, which it does not look for: tracing changes how every
    module of the process is called, and other runs may be in it.

    A module that stands in several places is replaced by one and the same in each; what is frozen stays.
    """
    converted: list[str] = []
    left: list[tuple[str, str]] = []
    unbiased: list[str] = []
    replacements: dict[int, nn.Module | None] = {}
    for path, module in list(learning(network)):
        try:
            if id(module) not in replacements:
                replacements[id(module)] = _replacement(module, layer, activation, pooling, norm)
            replacement = replacements[id(module)]
            if replacement is not None and not path:
                raise _CannotSwap(f"{type(module).__name__} is the whole network: put it into an nn.Sequential")
        except _CannotSwap as reason:
            left.append((path, str(reason)))
            continue
        if replacement is not None:
            network.set_submodule(path, replacement, strict=True)
            converted.append(path)
            if _lost_bias(module, replacement):
                unbiased.append(path)
    return ConversionReport(tuple(converted), tuple(left), tuple(unbiased))


class _CannotSwap(Exception):
    pass


def _replacement(module: nn.Module, layer: LayerConfig, activation: str, pooling: str, norm: str) -> nn.Module | None:
    name = type(module).__name__
    if isinstance(module, nn.Conv2d):
        return _layer(module, layer)
    if isinstance(module, nn.ConvTranspose2d) and LAYERS[layer.name].replacing(module) is not None:
        return _layer(module, layer)
    if isinstance(module, nn.MaxPool2d):
        return _pool(module) if pooling == "maxabs" else None
    if isinstance(module, nn.ReLU):
        return nn.Identity() if activation == "none" else None
    if isinstance(module, nn.BatchNorm2d):
        return nn.Identity() if norm == "none" else None
    if isinstance(module, _ConvNd) and LAYERS[layer.name].replace is not None:
        raise _CannotSwap(f"{name} is no Conv2d")
    if isinstance(module, MAX_POOLS) and pooling == "maxabs":
        raise _CannotSwap(f"{name} has no counterpart that takes the largest magnitude")
    if type(module).__module__ == activations.__name__ and activation == "none" and not _weighs(module):
        raise _CannotSwap(f"{name} is another activation than ReLU")
    other_norm = "Norm" in name and not any(module.children())  # such as torchvision's FrozenBatchNorm2d
    if (isinstance(module, NORMS) or other_norm) and norm == "none":
        raise _CannotSwap(f"{name} {OTHER_NORM}")
    return None


def _weighs(module: nn.Module) -> bool:
    """Whether a module of torch's file of activations is no activation: attention and its softmax weigh features."""
    return isinstance(module, (nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin))


def _pool(pool: nn.MaxPool2d) -> nn.Module:
    return MaxAbsPool2d(pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.return_indices, pool.ceil_mode)


def _lost_bias(module: nn.Module, replacement: nn.Module) -> bool:
    convolution = isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    return convolution and module.bias is not None and getattr(replacement, "bias", None) is None


def _layer(conv: nn.Conv2d | nn.ConvTranspose2d, layer: LayerConfig) -> nn.Module | None:
    plain, replace = (
        nn.Conv2d if isinstance(conv, nn.Conv2d) else nn.ConvTranspose2d,
        LAYERS[layer.name].replacing(conv),
    )
    if replace is None:
        return None
    if layer.skip_1x1 and conv.kernel_size == (1, 1):
        return None
    if type(conv) is not plain:
        raise _CannotSwap(f"{type(conv).__name__} is a {plain.__name__} of its own kind")
    if not isinstance(conv.weight, nn.Parameter):
        raise _CannotSwap("its weight is computed from others (such as weight_norm's)")
    new = replace(conv, layer)
    assert isinstance(new.weight, nn.Parameter), f"{layer.name}: a layer keeps its kernels in `weight`"
    new.weight.data.copy_(conv.weight.data * layer.weight_scale)
    new.requires_grad_(conv.weight.requires_grad)
    return new


class _Tracer(fx.Tracer):
    """Looks into every module that is not torch's own, not a layer of this project and not frozen.

    To trace changes how every module of the process is called, those that other threads call meanwhile included.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Return the stand-in for what the module gives; in another thread, what it gives."""
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        ours = isinstance(m, (MaxAbsPool2d, Frozen, *layer_types()))
        return ours or super().is_leaf_module(m, module_qualified_name)


def _calls(
    network: nn.Module, layer: LayerConfig, activation: str, pooling: str, norm: str
) -> Iterator[tuple[str, str]]:
    """The calls of functions in forward methods that a variant wants converted, and which are no modules."""
    wanted: dict[object, str] = {}
    if activation == "none":
        wanted |= dict.fromkeys(ACTIVATION_CALLS, "an activation")
    if pooling == "maxabs":
        wanted |= dict.fromkeys(POOL_CALLS, "a max pool")
    if LAYERS[layer.name].replace is not None:
        wanted |= dict.fromkeys(CONV_CALLS, "a convolution")
    if norm == "none":
        wanted |= dict.fromkeys(NORM_CALLS, "a norm")
    if not wanted:
        return
    try:
        nodes = list(_Tracer().trace(network).nodes)
    except Exception as error:  # whatever somebody else's forward method does with a stand-in for a tensor
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        yield "", f"calls of functions in its forward methods could not be looked for: {reason}"
        return
    for node in nodes:
        if node.op in ("call_function", "call_method") and node.target in wanted:
            name = getattr(node.target, "__name__", node.target)
            inside = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]  # from the outermost module on
            yield (
                inside[-1] if inside else "",
                f"{wanted[node.target]} is called as a function ({name}), not as a module",
            )
