"""Sizes as torch's convolutions and pools take them, and a layer's geometry once they are resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scs_study.system import arguments

Size = int | Sequence[int]
Sides = tuple[int, int]


def pair(value: Size, name: str) -> tuple[int, int]:
    """Return value as (vertical, horizontal). Raises ValueError unless it is one int or two."""
    vertical, horizontal = arguments.sizes(value, 2, name)
    return vertical, horizontal


@dataclass(frozen=True)
class Geometry:
    """What a layer does beside its kernels, exponents and floor; pairs are (vertical, horizontal)."""

    stride: Sides
    padding: Sides
    dilation: Sides
    groups: int
    eps: float
