"""What the published layers are put together from: learned numbers, floors of a norm, starts of a weight."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Where a published layer divides by a length without a floor, the safe one takes this for a shorter one.
SHORTEST = 1e-12


@dataclass(frozen=True)
class Number:
    """A learned number: what is stored (raw), what the formula sees of it (decode), and where it starts.

    start: the raw start, or (low, high) for one drawn uniformly between them.
    """

    formula: str
    decode: Callable[[Tensor], Tensor]
    encode: Callable[[float], float]
    start: float | tuple[float, float]

    @torch.no_grad()
    def draw_(self, raw: Tensor) -> None:
        """Set raw to its start, in place."""
        if isinstance(self.start, tuple):
            raw.uniform_(*self.start)
        else:
            raw.fill_(self.start)


def plain(start: float | tuple[float, float]) -> Number:
    """Return a number that is stored as it is."""
    return Number("raw", lambda raw: raw, float, start)


def squared(scale: float, start: float) -> Number:
    """Return (raw / scale)^2, which cannot be negative."""
    return Number(
        f"(raw / {scale:g})^2", lambda raw: (raw / scale).square(), lambda value: scale * math.sqrt(value), start
    )


def exponential(scale: float, start: float | tuple[float, float]) -> Number:
    """Return exp(raw / scale); a negative scale makes it fall with raw."""
    return Number(
        f"exp(raw / {scale:g})", lambda raw: torch.exp(raw / scale), lambda value: scale * math.log(value), start
    )


def sigplus(start: float | tuple[float, float]) -> Number:
    """Return sigmoid(raw) softplus(raw), positive and close to raw where that is large."""
    return Number("sigmoid(raw) softplus(raw)", sigplus_of, _raw_of_sigplus, start)


def sigplus_of(raw: Tensor) -> Tensor:
    """Return sigmoid(raw) softplus(raw), element by element."""
    return raw.sigmoid() * F.softplus(raw)


def _raw_of_sigplus(value: float) -> float:
    """Return the raw number whose sigplus is value, to the last digits: sigplus rises everywhere."""
    low, high = -400.0, max(value, 1.0) + 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if math.log1p(math.exp(-abs(middle))) + max(middle, 0.0) < value * (1 + math.exp(-middle)):
            low = middle
        else:
            high = middle
    return (low + high) / 2


@dataclass(frozen=True)
class Floor:
    """How a length is kept from 0: sqrt(sum + eps) (inside), max(length, eps) (least) or length + eps (outside)."""

    kind: Literal["inside", "least", "outside"]
    eps: float

    def __str__(self) -> str:
        words = {"inside": "sqrt(Σ² + {:g})", "least": "max(n, {:g})", "outside": "n + {:g}"}
        return words[self.kind].format(self.eps)


def lengths(energy: Tensor, floor: Floor | None, safe: bool) -> Tensor:
    """Return the lengths whose squares are `energy`, kept from 0 as `floor` says.

    Without a floor a length of 0 has an infinite gradient; in the safe form it has none.
    """
    if floor is not None and floor.kind == "inside":
        return (energy + floor.eps).sqrt()
    if floor is not None and floor.kind == "least":
        return energy.clamp_min(floor.eps**2).sqrt()
    if floor is not None:
        return energy.clamp_min(SHORTEST**2).sqrt() + floor.eps
    return (energy.clamp_min(SHORTEST**2) if safe else energy).sqrt()


def _bound(weight: Tensor, bound: float) -> Tensor:
    return weight.uniform_(-bound, bound)


def _fan_in(weight: Tensor) -> int:
    return weight[0].numel()


# Where a kernel bank (O, C/groups, ...) starts. The last three are those of layers that keep their weights as a matrix,
# of which an initialiser sees other numbers of inputs and outputs than of a convolution's weight.
STARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "conv": lambda weight: nn.init.kaiming_uniform_(weight, a=math.sqrt(5)),
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "uniform_1": lambda weight: _bound(weight, 1.0),
    "unit_length": lambda weight: _bound(weight, math.sqrt(3 / _fan_in(weight))),
    "glorot_matrix": lambda weight: _bound(weight, math.sqrt(6 / (_fan_in(weight) + weight.shape[0]))),
    "glorot_stack": lambda weight: _bound(weight, math.sqrt(6 / (weight.shape[0] * (_fan_in(weight) + 1)))),
}
