"""The layers that can stand in a convolution's place, and what the rest of the project needs to know of each.

To add one: a module with the layer, an entry here, a file in conf/layer. Conversion, records, figures and the
benchmark read the entry; none of them knows a layer by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scs_study.layers.modules import (
    P_SCALE_MAR2022,
    SharpenedCosineSimilarity2d,
    SharpenedDotProduct2d,
)
from scs_study.layers.published import (
    PUBLISHED,
    FormModule,
    PublishedLayer,
    RohrerMay2022Transpose2d,
    TransposedLayer,
    ZimonitromeTranspose2d,
)


class LayerSettings(Protocol):
    """What a layer may read of a run's config (config.schema.LayerConfig)."""

    @property
    def name(self) -> str: ...
    @property
    def parameterisation(self) -> str | None: ...
    @property
    def p(self) -> float | None: ...
    @property
    def p_init(self) -> tuple[float, float] | None: ...
    @property
    def w_max(self) -> float | None: ...
    @property
    def options(self) -> tuple[tuple[str, Any], ...]: ...


@dataclass(frozen=True)
class LayerSpec:
    """A layer by name.

    title: how figures and answers call it. module: the class of what replaces a convolution; None for the convolution
    itself, which stays. replace: return the module for a convolution, with weights of its own still. transposed,
    replace_transposed: the same for nn.ConvTranspose2d; None where it has no such form. start_p: set a
    learned p, one value a kernel (O,), in place; None where p is not common to all layers. recorded: what a run's
    records say of a layer beside its norms after every epoch, tensors of one value a kernel (O,) or a layer ().
    pools: whether a following pool can be taken in before the power (`pool` attribute). colors: of max and of MaxAbs
    pooling; None takes the next free pair.
    """

    name: str
    title: str
    module: type[nn.Module] | None = None
    replace: Callable[[nn.Conv2d, Any], nn.Module] | None = None
    start_p: Callable[[Any, Tensor], None] | None = None
    recorded: Mapping[str, Callable[[Any], Tensor | None]] = field(default_factory=dict)
    pools: bool = False
    colors: tuple[str, str] | None = None
    transposed: type[nn.Module] | None = None
    replace_transposed: Callable[[nn.ConvTranspose2d, Any], nn.Module] | None = None

    @property
    def modules(self) -> tuple[type[nn.Module], ...]:
        """The classes of what replaces convolutions."""
        return tuple(kind for kind in (self.module, self.transposed) if kind is not None)

    def replacing(self, conv: nn.Module) -> Callable[[Any, Any], nn.Module] | None:
        """Return what replaces a convolution of that kind; None where it stays."""
        return self.replace_transposed if isinstance(conv, nn.ConvTranspose2d) else self.replace


def geometry(conv: nn.Conv2d) -> dict[str, Any]:
    """Return the arguments of nn.Conv2d that make another layer of `conv`'s geometry, device and dtype; no bias."""
    return {
        "in_channels": conv.in_channels,
        "out_channels": conv.out_channels,
        "kernel_size": conv.kernel_size,
        "stride": conv.stride,
        "padding": conv.padding,
        "dilation": conv.dilation,
        "groups": conv.groups,
        "bias": False,
        "padding_mode": conv.padding_mode,
        "device": conv.weight.device,
        "dtype": conv.weight.dtype,
    }


def _exponent(layer: LayerSettings) -> dict[str, Any]:
    return {"p": layer.p, **({} if layer.p_init is None else {"p_init": layer.p_init})}


def _cosine(conv: nn.Conv2d, layer: LayerSettings) -> nn.Module:
    assert layer.parameterisation is not None, "config.schema refuses a cosine layer without one"
    return SharpenedCosineSimilarity2d(
        **geometry(conv), **_exponent(layer), parameterisation=layer.parameterisation, w_max=layer.w_max
    )


def _dot(conv: nn.Conv2d, layer: LayerSettings) -> nn.Module:
    return SharpenedDotProduct2d(**geometry(conv), **_exponent(layer))


@torch.no_grad()
def _start_p(module: SharpenedCosineSimilarity2d | SharpenedDotProduct2d, p: Tensor) -> None:
    exponential = isinstance(module, SharpenedCosineSimilarity2d) and module.parameterisation == "mar2022"
    module.raw_p.copy_(P_SCALE_MAR2022 * p.log() if exponential else p)


def _p(module: SharpenedCosineSimilarity2d | SharpenedDotProduct2d | FormModule) -> Tensor | None:
    return module.p


def _q(module: SharpenedCosineSimilarity2d) -> Tensor:
    return module.q


SWITCHES = ("safe", "power", "bias")
"""Options of the published layers that are true or false; power and bias only of those that can be transposed."""


def _published(kind: type[PublishedLayer], transposed: type[TransposedLayer] | None = None) -> LayerSpec:
    """The entry of a published layer; its own start of p is taken where none is given.

    With a transposed form it has, beside safe, the options of a generator's and a discriminator's layers: power, norm
    (of the transposed form's kernels), bias (taken over from a convolution that has one).
    """
    known = ("safe",) if transposed is None else (*SWITCHES, "norm")

    def options_of(layer: LayerSettings) -> dict[str, Any]:
        options = dict(layer.options)
        if strange := options.keys() - set(known):
            has = "one option, safe" if len(known) == 1 else f"the options {', '.join(known)}"
            raise ValueError(f"layer.options.{min(strange)}: {layer.name} has {has}")
        for name in SWITCHES:
            if not isinstance(options.get(name, True), bool):
                raise ValueError(f"layer.options.{name}={options[name]}: must be true or false")
        if layer.p_init is not None and not options.get("power", True):
            raise ValueError("layer.p_init has no effect with layer.options.power=false: there is no exponent")
        return options

    def filled(new: FormModule, bias: Tensor | None) -> FormModule:
        if new.bias is not None and bias is not None:
            new.bias.data.copy_(bias.data)
        return new

    def replace(conv: nn.Conv2d, layer: LayerSettings) -> nn.Module:
        options = options_of(layer)
        options.pop("norm", None)
        if not (options.pop("bias", False) and conv.bias is not None):
            return kind.from_conv(conv, p=layer.p, **options)
        return filled(kind.from_conv(conv, p=layer.p, bias=True, **options), conv.bias)

    def replace_transposed(conv: nn.ConvTranspose2d, layer: LayerSettings) -> nn.Module:
        assert transposed is not None
        options = options_of(layer)
        if not (options.pop("bias", False) and conv.bias is not None):
            return transposed.from_conv(conv, p=layer.p, **options)
        return filled(transposed.from_conv(conv, p=layer.p, bias=True, **options), conv.bias)

    form = kind.form
    recorded = {"p": _p} if form.q is None else {"p": _p, "q": _q}
    return LayerSpec(
        form.name, form.title, kind, replace, _start_published_p, recorded, transposed=transposed,
        replace_transposed=None if transposed is None else replace_transposed,
    )  # fmt: skip


@torch.no_grad()
def _start_published_p(module: FormModule, p: Tensor) -> None:
    assert module.raw_p is not None
    module.raw_p.copy_(torch.tensor([module.form.p.encode(value) for value in p.tolist()]))


TRANSPOSED: dict[str, type[TransposedLayer]] = {
    "rohrer_may2022": RohrerMay2022Transpose2d,
    "zimonitrome": ZimonitromeTranspose2d,
}
"""The published layers that can stand in the place of nn.ConvTranspose2d, by name."""

# Colours: Okabe and Ito's palette, told apart with the common colour-vision deficiencies.
_SPECS = (
    LayerSpec("conv", "conv", colors=("#56B4E9", "#0072B2")),
    LayerSpec(
        "scs",
        "SCS",
        SharpenedCosineSimilarity2d,
        _cosine,
        _start_p,
        recorded={"p": _p, "q": _q},
        pools=True,
        colors=("#E69F00", "#C04000"),
    ),
    LayerSpec(
        "cosine",
        "cosine",
        SharpenedCosineSimilarity2d,
        _cosine,
        _start_p,
        recorded={"p": _p, "q": _q},
        pools=True,
        colors=("#CC79A7", "#8A2C62"),
    ),
    LayerSpec(
        "sdp",
        "SharpenedSDP",
        SharpenedDotProduct2d,
        _dot,
        _start_p,
        recorded={"p": _p},
        pools=True,
        colors=("#3CC79A", "#00694D"),
    ),
    *(_published(kind, TRANSPOSED.get(name)) for name, kind in PUBLISHED.items()),
)
LAYERS: dict[str, LayerSpec] = {spec.name: spec for spec in _SPECS}
"""The layers by name: those of the paper in the order of its tables, then the published ones."""


def register(spec: LayerSpec) -> LayerSpec:
    """Add `spec`, or return the one of its name that is there. Raises ValueError when that one is another layer's."""
    there = LAYERS.setdefault(spec.name, spec)
    if there.module is not spec.module:
        raise ValueError(f"layer={spec.name}: that name belongs to {there.title} already")
    return there


def layer_types() -> tuple[type[nn.Module], ...]:
    """Return nn.Conv2d, nn.ConvTranspose2d and the classes that may stand in their place."""
    return (nn.Conv2d, nn.ConvTranspose2d, *dict.fromkeys(kind for spec in LAYERS.values() for kind in spec.modules))


def spec_of(module: nn.Module) -> LayerSpec:
    """Return the entry of a network's layer, by its class. Raises KeyError when it is no layer of the registry."""
    for spec in LAYERS.values():
        if type(module) in spec.modules:  # before a layer that it was derived from
            return spec
    for spec in LAYERS.values():
        if isinstance(module, spec.modules):
            return spec
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        return LAYERS["conv"]
    raise KeyError(type(module).__name__)
