"""One dimension of a sweep: a setting, the values it may have, and where it varies."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

DIGITS = 3
"""Significant digits of a number from a range.

A draw has 17 of them, and all would be part of the run's identity: nobody could type the run's p again, the last bit of
exp and log differs between machines, and two draws a hair apart would be two runs. Three digits are a step of at most
1 %, far below what an accuracy can tell apart.
"""


def rounded(value: float) -> float:
    """Return `value` with DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")


def words_of(value: Any) -> str:
    """Return a value as tables and messages have it."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class Dimension:
    """One setting or config group that varies.

    key: as a command line has it (train.max_lr, arch); name: what Optuna, tables and figures call it. values: of a list
    of values, () for a range. low, high: of a range, both of which it has; log: drawn evenly in the logarithm; whole:
    whole numbers only.
    sets: the settings that go with a value, by its words. when: the name of the dimension, and the words of its value,
    with which alone this one varies; None where it always does.
    """

    key: str
    name: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    sets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    when: tuple[str, str] | None = None

    @property
    def written(self) -> str:
        """The range or the values as a sweep's file may have them."""
        if self.values:
            return f"[{', '.join(self.describe(value) + self._with(value) for value in self.values)}]"
        return f"{'log ' * self.log}{'int ' * self.whole}{self.describe(self.low)}..{self.describe(self.high)}"

    @property
    def place(self) -> str:
        """The key, and where it varies."""
        return self.key if self.when is None else f"{self.key} where {self.when[0]}={self.when[1]}"

    @property
    def sides(self) -> tuple[Any, ...]:
        """The values that are tried before anything starts: all of a list, the ends of a range."""
        return self.values or (self.value(self.low), self.value(self.high))

    @property
    def labels(self) -> tuple[str | int | float | bool | None, ...]:
        """The values of a list as Optuna keeps them: lists as text."""
        return tuple(self.describe(value) if isinstance(value, list) else value for value in self.values)

    def varies(self, point: Mapping[str, Any]) -> bool:
        """Return whether it varies where the dimensions before it have the values of `point`."""
        if self.when is None:
            return True
        name, words = self.when
        return name in point and words_of(point[name]) == words

    def settings(self, value: Any) -> dict[str, Any]:
        """Return the settings that a value stands for: itself and what goes with it."""
        return {**self.sets.get(words_of(value), {}), self.key: value}

    def value(self, drawn: Any) -> Any:
        """Return what the setting becomes when Optuna has drawn `drawn`."""
        if self.values:
            return self.values[self.labels.index(drawn)]
        return int(drawn) if self.whole else rounded(drawn)

    def drawn(self, value: Any) -> Any:
        """Return what Optuna has for a value of the setting."""
        return self.describe(value) if isinstance(value, list) else value

    def describe(self, value: Any) -> str:
        """Return a value as tables and messages have it."""
        return f"{value:.0f}" if self.whole and isinstance(value, float) else words_of(value)

    def of(self, point: Mapping[str, Any]) -> str:
        """Return the words of its value at a point, "" where it does not vary."""
        return self.describe(point[self.name]) if self.name in point else ""

    def rank(self, point: Mapping[str, Any]) -> float:
        """Return where a point stands among the others: those in which it does not vary come first."""
        if self.name not in point:
            return -math.inf
        value = point[self.name]
        return float(self.values.index(value)) if self.values else float(value)

    def _with(self, value: Any) -> str:
        settings = self.sets.get(words_of(value))
        return f" with {', '.join(f'{key}={words_of(each)}' for key, each in settings.items())}" if settings else ""

    def grid(self, points: int) -> tuple[Any, ...]:
        """Return the values of a list, or `points` of a range, evenly spaced. Raises ValueError where some coincide."""
        if self.values:
            return self.values
        spaced = (np.geomspace if self.log else np.linspace)(self.low, self.high, points)
        if self.whole:
            return tuple(dict.fromkeys(round(float(each)) for each in spaced))
        found = tuple(rounded(float(each)) for each in spaced)
        if len(set(found)) < len(found):
            raise ValueError(
                f"sweep.points={points}: some would be the same {self.name} with {DIGITS} significant digits"
            )
        return found
