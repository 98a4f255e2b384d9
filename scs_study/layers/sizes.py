"""Sizes as torch's convolutions and pools take them, and a layer's geometry once they are resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Size = int | Sequence[int]
Sides = tuple[int, int]


def pair(value: Size, name: str) -> tuple[int, int]:
    """Return value as (vertical, horizontal). Raises ValueError unless it is one int or two."""
    if isinstance(value, int):
        return value, value
    if not isinstance(value, str) and len(value) == 2:
        return int(value[0]), int(value[1])
    raise ValueError(f"{name} must be one int or two, got {value!r}")


@dataclass(frozen=True)
class Geometry:
    """What a layer does beside its kernels, exponents and floor; pairs are (vertical, horizontal)."""

    stride: Sides
    padding: Sides
    dilation: Sides
    groups: int
    eps: float
