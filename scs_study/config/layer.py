"""Which layer stands in the place of nn.Conv2d, with its settings: a part of a run's identity."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scs_study.config.checks import choice, flag, number

LAYERS = ("conv", "scs", "cosine", "sdp")
"""The layers of the paper, in the order of its tables; what there is besides is layers/registry.py's to say."""
NAME = re.compile(r"\w[\w.+-]*")
"""What a network, a layer or an objective may be called: part of the name of a folder."""
PARAMETERISATIONS = ("may2022", "mar2022")


Options = tuple[tuple[str, Any], ...]


def check_name(key: str, value: object) -> None:
    """Do nothing for a name that can be part of a folder's. Raises ValueError in one sentence."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError(f"{key}={value}: must be a name of letters, digits and _ . + -")


@dataclass(frozen=True)
class LayerConfig:
    """Which layer replaces nn.Conv2d, and its own settings (systems.md 1.1, 1.7, 7).

    parameterisation: which version of the SCS layer; null for conv and sdp.
    p: the fixed exponent shared by all layers, null where p is learned (or where there is none: conv).
    p_init: (low, high) of the uniform law that a learned p starts from.
    w_max: weights are clamped to +-w_max after each step (may2022); null switches the clamp off.
    weight_scale: factor on the shared initial weights of the replaced layers.
    skip_1x1: true leaves 1x1 convolutions (ResNet's downsamples) as they are.
    options: further arguments of the layer's own, (name, value), sorted; given as a mapping of plain values.
    """

    name: str
    parameterisation: str | None = None
    p: float | None = None
    p_init: tuple[float, float] | None = None
    w_max: float | None = None
    weight_scale: float = 1.0
    skip_1x1: bool = False
    options: Options = ()

    def __post_init__(self) -> None:
        check_name("layer.name", self.name)
        object.__setattr__(self, "options", _options(self.options))
        if self.options and self.name in LAYERS:
            raise ValueError(f"layer.options={dict(self.options)}: {self.name} has no options")
        if self.name in ("scs", "cosine"):
            choice("layer.parameterisation", self.parameterisation, PARAMETERISATIONS)
        elif self.name in LAYERS and self.parameterisation is not None:
            raise ValueError(f"layer.parameterisation={self.parameterisation}: {self.name} has no parameterisations")
        if self.p is not None:
            number("layer.p", self.p, 0.0, 100.0, open_low=True)
        if self.p_init is not None:
            if not isinstance(self.p_init, tuple) or len(self.p_init) != 2 or self.p_init[0] > self.p_init[1]:
                shown = list(self.p_init) if isinstance(self.p_init, tuple) else self.p_init
                raise ValueError(f"layer.p_init={shown}: must be [low, high]")
            for bound in self.p_init:
                number("layer.p_init", bound, 0.1, 100.0)
        if self.name == "conv" and (self.p is not None or self.p_init is not None):
            raise ValueError("layer.p and layer.p_init have no effect on layer=conv: it has no exponent")
        if self.name == "cosine" and self.p != 1.0:
            raise ValueError(f"layer.p={self.p}: the plain cosine is p = 1; use layer=scs for another fixed p")
        if self.name in ("scs", "sdp") and self.p is None and self.p_init is None:
            raise ValueError(f"layer.p_init=null: {self.name} with a learned p needs the range it starts from")
        if self.p is not None and self.p_init is not None:
            raise ValueError(
                f"layer.p={self.p} fixes the exponent, so layer.p_init has no effect: set layer.p_init=null"
            )
        if self.w_max is not None:
            if self.name in LAYERS and self.parameterisation != "may2022":
                raise ValueError(f"layer.w_max={self.w_max}: only the may2022 layer clamps its weights")
            number("layer.w_max", self.w_max, 0.0, open_low=True)
        number("layer.weight_scale", self.weight_scale, 0.0, open_low=True)
        if flag("layer.skip_1x1", self.skip_1x1) and self.name == "conv":
            raise ValueError("layer.skip_1x1=true has no effect on layer=conv")

    def identity(self) -> dict[str, Any]:
        """Return the values that are part of a run's identity: all, but for options where there are none."""
        values = dict(vars(self))
        if not values.pop("options"):
            return values
        return {**values, "options": json.loads(json.dumps(dict(self.options)))}


def _options(values: Mapping[str, Any] | Options) -> Options:
    pairs = values.items() if isinstance(values, Mapping) else values
    return tuple(sorted((str(name), _plain(f"layer.options.{name}", value)) for name, value in pairs))


def _plain(key: str, value: object) -> object:
    """A plain value, hashable: lists become tuples."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(key, each) for each in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key}={value}: must be a number")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{key}={value}: must be a number, a text, true, false, null, or a list of them")


CONVOLUTION = LayerConfig("conv")
