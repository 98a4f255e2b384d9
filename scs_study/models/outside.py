"""Networks and layers of somebody else's project, put into the registries under the names that cells have for them."""

from __future__ import annotations

from typing import Any

from torch import nn

from scs_study.config.schema import CellConfig
from scs_study.config.target import load_target
from scs_study.config.widths import split_widths
from scs_study.layers.registry import LAYERS, LayerSpec, geometry, register
from scs_study.models.architectures import ARCHITECTURES, Architecture, takes_widths


def adopt(cell: CellConfig) -> None:
    """Register the network and the layer that a cell has from outside this package; each process does so for itself.

    Raises ValueError in one sentence for an object that is not there or of another kind, and for a name that is taken.
    """
    for part, target in cell.targets:
        if part == "arch":
            _network(cell.arch, target)
        if part == "layer":
            _layer(cell.layer.name, target)


def _network(name: str, target: str) -> None:
    found: Any = load_target("arch", target)
    given = found if isinstance(found, Architecture) else Architecture(found, ())
    if not callable(given.build):
        raise ValueError(
            f"arch._target_={target}: must be a function of num_classes and in_channels, or an Architecture"
        )
    if takes_widths(given.build):
        name, _ = split_widths(name)
    if ARCHITECTURES.setdefault(name, given) != given:
        raise ValueError(f"arch={name}: that name belongs to another network already; give yours another")


def _layer(name: str, target: str) -> None:
    kind = load_target("layer", target)
    if isinstance(kind, LayerSpec):
        if kind.name != name:
            raise ValueError(f"layer._target_={target}: it is called {kind.name}, and {name} in its YAML")
        register(kind)
    elif isinstance(kind, type) and issubclass(kind, nn.Module):
        if name not in LAYERS or LAYERS[name].module is not kind:
            register(LayerSpec(name, name, kind, _replacing(kind)))
    else:
        raise ValueError(f"layer._target_={target}: must be a class of layers (nn.Module), or a LayerSpec")


def _replacing(kind: type[nn.Module]) -> Any:
    """What puts such a layer in a convolution's place: called with nn.Conv2d's arguments and its own settings."""

    def replace(conv: nn.Conv2d, layer: Any) -> nn.Module:
        known = {name: getattr(layer, name) for name in ("parameterisation", "p", "p_init", "w_max")}
        given = {name: value for name, value in known.items() if value is not None}
        return kind(**geometry(conv), **given, **dict(layer.options))

    return replace
