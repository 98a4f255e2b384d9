"""What a sweep varies (sweep.space): a range or a list of values for each of its settings."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scs_study.config.checks import MOST
from scs_study.experiments.compose import CELL_GROUPS

DIGITS = 3
"""Significant digits of a number from a range.

A draw has 17 of them, and all would be part of the run's identity: nobody could type the run's p again, the last bit of
exp and log differs between machines, and two draws a hair apart would be two runs. Three digits are a step of at most
1 %, far below what an accuracy can tell apart.
"""
IMPLIED: Mapping[str, Mapping[str, Any]] = {"layer.p": {"layer.p_init": None}}
"""What a setting that is varied leaves no room for: an exponent that is fixed starts nowhere."""
TAKEN = ("seed", "state", "accuracy", "parameters", "epochs", "epochs_planned", "trial", "attempts", "run", "front")
"""Names that a sweep's table has for other things."""
RANGE = re.compile(r"(?P<log>log )?(?P<whole>int )?(?P<low>\S+?)\.\.(?P<high>\S+)")
NUMBERED = re.compile(r"\.\d+$")
"""What names one of several values of a setting: arch.widths.0."""
FORMS = "write a range (log 0.1..10, 0..0.3, int 1..8, log int 16..256) or a list of values ([a, b])"


def rounded(value: float) -> float:
    """Return `value` with DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True)
class Dimension:
    """One setting or config group that varies.

    key: as a command line has it (train.max_lr, arch); name: what Optuna, tables and figures call it. values: of a list
    of values, () for a range. low, high: of a range, both of which it has; log: drawn evenly in the logarithm; whole:
    whole numbers only.
    """

    key: str
    name: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @property
    def written(self) -> str:
        """The range or the values as a sweep's file may have them."""
        if self.values:
            return f"[{', '.join(self.words(value) for value in self.values)}]"
        return f"{'log ' * self.log}{'int ' * self.whole}{self.words(self.low)}..{self.words(self.high)}"

    @property
    def sides(self) -> tuple[Any, ...]:
        """The values that are tried before anything starts: all of a list, the ends of a range."""
        return self.values or (self.value(self.low), self.value(self.high))

    @property
    def labels(self) -> tuple[str | int | float | bool | None, ...]:
        """The values of a list as Optuna keeps them: lists as text."""
        return tuple(self.words(value) if isinstance(value, list) else value for value in self.values)

    def value(self, drawn: Any) -> Any:
        """Return what the setting becomes when Optuna has drawn `drawn`."""
        if self.values:
            return self.values[self.labels.index(drawn)]
        return int(drawn) if self.whole else rounded(drawn)

    def drawn(self, value: Any) -> Any:
        """Return what Optuna has for a value of the setting."""
        return self.words(value) if isinstance(value, list) else value

    def words(self, value: Any) -> str:
        """Return a value as tables and messages have it."""
        if isinstance(value, float):
            return f"{value:.0f}" if self.whole else f"{value:g}"
        return value if isinstance(value, str) else json.dumps(value)

    def place(self, value: Any) -> float:
        """Return where a value stands among the others."""
        return float(self.values.index(value)) if self.values else float(value)

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


def space_of(text: str) -> object:
    """Return the space that a command line gives, a mapping as in a sweep's file. Raises ValueError in one sentence."""
    try:
        return OmegaConf.to_container(OmegaConf.create(text))
    except (yaml.YAMLError, OmegaConfBaseException):
        example = "'sweep.space={arch: [rohrer25k, rohrer68k], train.max_lr: log 0.001..0.1}'"
        raise ValueError(f"sweep.space={text}: cannot be read; write it as in {example}") from None


def dimensions_of(space: object) -> tuple[Dimension, ...]:
    """Return what `sweep.space` varies. Raises ValueError in one sentence for what is no range and no list.

    Whether there are such settings, and take such values, is the cells' to say.
    """
    if not isinstance(space, Mapping) or not space:
        raise ValueError(f"sweep.space={space}: must name what varies, such as {{layer.p: log 0.1..10}}")
    keys = [str(key) for key in space]
    for key in keys:
        if key == "seed":
            raise ValueError("sweep.space.seed: the seeds of a sweep are sweep.seeds, such as [0,1,2]")
    short = [NUMBERED.sub("", key).rpartition(".")[2] + "".join(NUMBERED.findall(key)) for key in keys]
    clear = [
        name if short.count(name) == 1 and name not in TAKEN else key for key, name in zip(keys, short, strict=True)
    ]
    return tuple(
        _list(key, name, values) if isinstance(values, (list, tuple)) else _range(key, name, values)
        for key, name, values in zip(keys, clear, space.values(), strict=True)
    )


def _list(key: str, name: str, values: Sequence[Any]) -> Dimension:
    where = f"sweep.space.{key}"
    for value in values:
        parts = value if isinstance(value, list) else [value]
        for part in parts:
            if not (part is None or isinstance(part, (str, bool, int, float))) or _endless(part):
                raise ValueError(f"{where}: {value}: must be a name, a number, true, false, null, or a list of them")
        if key in CELL_GROUPS and not isinstance(value, str):
            raise ValueError(f"{where}: {value}: must be the name of a choice in conf/{key}")
    if len(values) < 2:
        raise ValueError(f"{where}={list(values)}: one value is no choice; put it into sweep.{_home(key)}")
    if any(value in values[:n] for n, value in enumerate(values)):
        raise ValueError(f"{where}={list(values)}: must be different values")
    return Dimension(key, name, tuple(values))


def _range(key: str, name: str, spec: object) -> Dimension:
    where = f"sweep.space.{key}={spec}"
    found = RANGE.fullmatch(" ".join(spec.split())) if isinstance(spec, str) else None
    if found is None or key in CELL_GROUPS:
        forms = f"write a list of choices in conf/{key} ([a, b])" if key in CELL_GROUPS else FORMS
        raise ValueError(f"{where}: {forms}")
    log, whole = bool(found["log"]), bool(found["whole"])
    low, high = (_end(where, found[end], whole) for end in ("low", "high"))
    if low >= high:
        raise ValueError(f"{where}: an empty range; its low end must be below its high end")
    if log and low <= 0:
        raise ValueError(f"{where}: a logarithm needs numbers above 0; begin above 0, or leave out log")
    return Dimension(key, name, (), low, high, log, whole)


def _end(where: str, text: str, whole: bool) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{where}: {text} is no number; {FORMS}") from None
    if not math.isfinite(value):
        raise ValueError(f"{where}: {text} is no end of a range")
    if whole and (value != int(value) or abs(value) > min(MOST, 2**53)):
        raise ValueError(f"{where}: {text} is no whole number")
    if not whole and rounded(value) != value:
        raise ValueError(
            f"{where}: numbers are kept to {DIGITS} significant digits; write {rounded(value):g} in place of {text}"
        )
    return value


def _endless(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _home(key: str) -> str:
    return "base" if key in CELL_GROUPS else "set"
