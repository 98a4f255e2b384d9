"""A network as a chain of steps: what is done, with which settings, and with which arrays, in torch's shapes.

Free of torch, JAX and Keras. Images are (batch, channels, height, width) and are flattened in that order.

| kind | settings | arrays |
|---|---|---|
| scs | stride, padding, dilation, groups, parameterisation, p, w_max, eps | weight, raw_q, and raw_p where p is None |
| sdp | stride, padding, dilation, groups, p, eps | weight, and raw_p where p is None |
| pisoni | stride, padding, groups, shared_weights | weight, raw_p, raw_q |
| conv | stride, padding, dilation, groups | weight, and bias if there is one |
| linear | | weight, and bias if there is one |
| maxpool, maxabspool | kernel_size, stride, padding, ceil_mode | |
| pisonipool | pool_size, pad_to_fit | |
| relu, flatten | | |

Sizes are pairs of ints, padding of a layer may be 'same' or 'valid'; p is a fixed exponent or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("scs", "sdp", "pisoni", "conv", "linear", "maxpool", "maxabspool", "pisonipool", "relu", "flatten")
LAYER_SETTINGS = ("stride", "padding", "dilation", "groups")


@dataclass(frozen=True)
class Step:
    """One step of a network, with the name that it has there."""

    kind: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind


Chain = tuple[Step, ...]


def pair(value: Any) -> tuple[int, int]:
    """Return one int or two as two."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def as_array(values: Any) -> NDArray[Any]:
    """Return a copy of values as an array of numpy."""
    return np.array(values)
