"""What a sweep varies (sweep.space): a range or a list of values for a setting, everywhere or under a choice alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scs_study.config.checks import MOST
from scs_study.experiments.compose import CELL_GROUPS
from scs_study.experiments.sweep.dimension import DIGITS, Dimension, rounded, words_of

IMPLIED: Mapping[str, Mapping[str, Any]] = {"layer.p": {"layer.p_init": None}}
"""What a setting that is varied leaves no room for: an exponent that is fixed starts nowhere."""
TAKEN = ("seed", "state", "accuracy", "parameters", "epochs", "epochs_planned", "trial", "attempts", "run", "front")
"""Names that a sweep's table has for other things."""
RANGE = re.compile(r"(?P<log>log )?(?P<whole>int )?(?P<low>\S+?)\.\.(?P<high>\S+)")
NUMBERED = re.compile(r"\.\d+$")
"""What names one of several values of a setting: arch.widths.0."""
FORMS = "write a range (log 0.1..10, 0..0.3, int 1..8, log int 16..256) or a list of values ([a, b])"


def space_of(text: str) -> object:
    """Return the space that a command line gives, a mapping as in a sweep's file. Raises ValueError in one sentence."""
    try:
        return OmegaConf.to_container(OmegaConf.create(text))
    except (yaml.YAMLError, OmegaConfBaseException):
        example = "'sweep.space={arch: [rohrer25k, rohrer68k], train.max_lr: log 0.001..0.1}'"
        raise ValueError(f"sweep.space={text}: cannot be read; write it as in {example}") from None


def dimensions_of(space: object) -> tuple[Dimension, ...]:
    """Return what `sweep.space` varies; what varies with a value alone comes after that value's dimension.

    Raises ValueError in one sentence for what is no range and no list. Whether there are such settings, and take such
    values, is the cells' to say.
    """
    if not isinstance(space, Mapping) or not space:
        raise ValueError(f"sweep.space={space}: must name what varies, such as {{layer.p: log 0.1..10}}")
    specs = list(_specs(space, (), ""))
    _check_once(specs)
    keys = [spec.key for spec in specs]
    short = {key: NUMBERED.sub("", key).rpartition(".")[2] + "".join(NUMBERED.findall(key)) for key in keys}
    taken = [*short.values(), *TAKEN]
    found: dict[tuple[str, ...], Dimension] = {}
    for spec in specs:
        name = short[spec.key] if taken.count(short[spec.key]) == 1 else spec.key
        when = None
        if spec.path:
            when = (found[spec.path[:-1]].name, spec.path[-1])
            name += f" ({when[1]})" if keys.count(spec.key) > 1 else ""
        made = _dimension(spec.key, name, spec.varies)
        found[(*spec.path, spec.key)] = replace(made, sets=spec.sets, when=when)
    return tuple(found.values())


def keys_of(dimensions: Iterable[Dimension]) -> list[str]:
    """Return the settings and groups that dimensions give values to, those that go with a choice included."""
    keys = [key for each in dimensions for key in (each.key, *(name for sets in each.sets.values() for name in sets))]
    return list(dict.fromkeys(keys))


@dataclass(frozen=True)
class _Spec:
    """A dimension as it is written. path: key, value, key, value ... of the choices it stands under; sets: by value."""

    key: str
    varies: object
    path: tuple[str, ...]
    sets: Mapping[str, Mapping[str, Any]]


def _specs(space: Mapping[Any, Any], path: tuple[str, ...], where: str) -> Iterator[_Spec]:
    for key, varies in ((str(key), each) for key, each in space.items()):
        if key == "seed":
            raise ValueError("sweep.space.seed: the seeds of a sweep are sweep.seeds, such as [0,1,2]")
        if not isinstance(varies, Mapping):
            if not path or not _is_fixed(varies):
                yield _Spec(key, varies, path, {})
            continue
        sets = {}
        for value, more in varies.items():
            if more is not None and not isinstance(more, Mapping):
                raise ValueError(
                    f"sweep.space.{where}{key}.{value}={more}: must be the settings that go with it, such as"
                    f" {{layer.p_init: [[1, 1], [1, 3]]}}, or {{}}"
                )
            sets[words_of(value)] = {str(name): _fixed(each) for name, each in (more or {}).items() if _is_fixed(each)}
        yield _Spec(key, list(varies), path, sets)
        for value, more in varies.items():
            yield from _specs(more or {}, (*path, key, words_of(value)), f"{where}{key}.{value}.")


def _is_fixed(value: object) -> bool:
    """Whether what stands under a choice goes with it as it is: all but a range, a list of several, more choices."""
    if isinstance(value, (list, tuple)):
        return len(value) == 1
    return not isinstance(value, Mapping) and not (isinstance(value, str) and RANGE.fullmatch(" ".join(value.split())))


def _fixed(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) else value


def _check_once(specs: Sequence[_Spec]) -> None:
    """Refuse a setting that two things would give a value at the same time."""
    given = [(spec.path, spec.key) for spec in specs]
    given += [
        ((*spec.path, spec.key, value), key) for spec in specs for value, sets in spec.sets.items() for key in sets
    ]
    for number, (path, key) in enumerate(given):
        for other, same in given[:number]:
            apart = len(path) == len(other) > 0 and path[:-1] == other[:-1] and path[-1] != other[-1]
            if key == same and not apart:
                raise ValueError(f"sweep.space: {key} stands in two places that do not exclude each other")


def _dimension(key: str, name: str, varies: object) -> Dimension:
    return _list(key, name, varies) if isinstance(varies, (list, tuple)) else _range(key, name, varies)


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
