"""Which variants of two sets of runs stand side by side.

A setting that has no value on both sides is what is compared (conv against scs, 20 epochs against 800). In all others a
pair must agree. So nothing has to be said but the two sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scs_study.analysis.collect import USUAL, identity_columns
from scs_study.analysis.variants import Record, setting, short, show, variants, varying

Group = tuple[Record, ...]
Groups = Sequence[Sequence[Record]]
START = "layer.p_init"

VARIANT = ("layer", "activation", "pooling")
NAMED_BY = {"architecture": "arch", "layer": "layer", "data": "data"}
"""Columns whose settings (layer.p, code.layer, ...) belong to a name: where the names differ they do not count."""


@dataclass(frozen=True)
class Side:
    """One set of runs: what to call it, and its variants, whose records have the `folder` that each run lies in."""

    name: str
    variants: tuple[tuple[Record, ...], ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """A variant of each side, in words, and the place that they share."""

    place: str
    a_words: str
    b_words: str
    a: tuple[Record, ...]
    b: tuple[Record, ...]


@dataclass(frozen=True)
class Matched:
    """What stands side by side. compared: the settings that differ. alone: variants without a counterpart, in words."""

    pairs: tuple[Pair, ...]
    compared: tuple[str, ...]
    common: str
    alone: tuple[str, ...]


def side(name: str, frame: pd.DataFrame, runs: Path) -> Side:
    """Return a Side of a collected frame whose run folders are in `runs`."""
    groups = tuple(tuple({**row, "folder": runs / row["run"]} for row in group) for group in variants(frame))
    return Side(name, groups, identity_columns(frame))


def matched(a: Side, b: Side) -> Matched:
    """Return the pairs of variants of two sides that agree in all but what is compared.

    Raises ValueError where there are none, and where the two sides are the same runs.
    """
    columns = tuple(dict.fromkeys((*USUAL[:-1], *a.columns, *b.columns)))
    a, b = _complete(a, columns), _complete(b, columns)
    compared = _compared(a, b, columns)
    within = _compared_within_layers(a, b, [name for name in columns if name not in compared])
    common = [name for name in columns if name not in compared]

    def key(row: Record) -> tuple[Any, ...]:
        return tuple(None if name in within.get(row["layer"], ()) else row[name] for name in common)

    by_key: dict[tuple[Any, ...], list[tuple[Record, ...]]] = {}
    for group in b.variants:
        by_key.setdefault(key(group[0]), []).append(group)
    found = _from_one_start([(left, right) for left in a.variants for right in by_key.get(key(left[0]), [])])
    different = [(left, right) for left, right in found if not _same(left, right)]
    if not different:
        raise ValueError(_nothing(a, b, bool(found)))
    shown = [*compared, *sorted({name for names in within.values() for name in names})]
    where = [name for name in _varying(common, [left for left, _ in different]) if name not in shown]
    if "layer" in where:  # a variant is called by all three
        where = [name for name in USUAL if name in (*where, *(n for n in VARIANT if n in common))] + [
            name for name in where if name not in USUAL
        ]
    tell_a, tell_b = (_described(s, shown, where) for s in (a, b))
    pairs = []
    for left, right in different:
        start = [] if _starts_alike(left, right) else [START]
        shown_a, shown_b = ([*tell, *(name for name in start if name not in tell)] for tell in (tell_a, tell_b))
        words = _words(left[0], where), _words(left[0], shown_a), _words(right[0], shown_b)
        pairs.append(Pair(*words, left, right))
    alone = [
        f"{s.name}: {_words(group[0], _all_of(s))}"
        for s, there in ((a, [left for left, _ in found]), (b, [right for _, right in found]))
        for group in s.variants
        if not any(group is other for other in there)
    ]
    constant = [name for name in USUAL[:-1] if name in common and name not in where]
    return Matched(tuple(pairs), tuple(_without_owned(shown)), _words(different[0][0][0], constant), tuple(alone))


def _complete(side: Side, columns: Sequence[str]) -> Side:
    """The side with every setting in its records, None where it has none."""
    nothing = dict.fromkeys(columns)
    return Side(side.name, tuple(tuple({**nothing, **row} for row in group) for group in side.variants), tuple(columns))


def _compared(a: Side, b: Side, columns: Sequence[str]) -> list[str]:
    """The columns that have no value on both sides, and what belongs to a name that is one of them."""
    found = [name for name in columns if not _values(a.variants, name) & _values(b.variants, name)]
    owned = {NAMED_BY[name] for name in found if name in NAMED_BY}
    return [
        name
        for name in columns
        if name in found or name.partition(".")[0] in owned or (name.startswith(_SOURCE) and short(name) in owned)
    ]


_SOURCE = ("code.", "targets.")


def _compared_within_layers(a: Side, b: Side, columns: Sequence[str]) -> dict[str, list[str]]:
    """By layer, its settings that have no value on both sides: p = 1 against p = 2, with convolutions on both."""
    found = {}
    for layer in _values(a.variants, "layer") & _values(b.variants, "layer"):
        left, right = ([g for g in s.variants if g[0]["layer"] == layer] for s in (a, b))
        own = [name for name in columns if name.startswith("layer.") or name in ("code.layer", "targets.layer")]
        found[layer] = [name for name in own if not _values(left, name) & _values(right, name)]
    return found


def _values(groups: Groups, name: str) -> set[Any]:
    return {group[0][name] for group in groups}


def _starts_alike(left: Sequence[Record], right: Sequence[Record]) -> bool:
    """Whether p starts from the same place in both, or one of them has none."""
    starts = left[0].get(START), right[0].get(START)
    return None in starts or starts[0] == starts[1]


def _from_one_start(pairs: Sequence[tuple[Group, Group]]) -> list[tuple[Group, Group]]:
    """The pairs without those of unequal starts of p whose variants have a counterpart that starts alike.

    SCS starts from U(1, 3) and SharpenedSDP from 1 unless it is said: that is a difference of its own.
    """
    equal = [pair for pair in pairs if _starts_alike(*pair)]
    lefts, rights = ({id(pair[side]) for pair in equal} for side in (0, 1))
    return [p for p in pairs if _starts_alike(*p) or not (id(p[0]) in lefts or id(p[1]) in rights)]


def _same(left: Sequence[Record], right: Sequence[Record]) -> bool:
    return bool({row["folder"] for row in left} & {row["folder"] for row in right})


def _varying(columns: Iterable[str], groups: Groups) -> list[str]:
    """The columns in which variants differ otherwise than by nature (another layer has other settings)."""
    names = list(columns)
    usual = [name for name in names if name in USUAL and len(_values(groups, name)) > 1]
    return [*usual, *(name for name in varying(groups, names) if not name.startswith(_SOURCE))]


def _described(side: Side, compared: Sequence[str], where: Sequence[str]) -> list[str]:
    """The columns that tell a side's variants: what is compared, without what goes with a name, and what varies."""
    names = _without_owned(compared)
    if "layer" in compared:  # a variant is called by all three
        names = [*(name for name in VARIANT if name not in where), *names]
    own = [name for name in _varying(side.columns, side.variants) if name in compared]
    return list(dict.fromkeys([*names, *own])) or list(where)


def _without_owned(compared: Iterable[str]) -> list[str]:
    """What is compared, less the settings that come with a name that is: another data set has another crop."""
    names = list(compared)
    owned = {NAMED_BY[name] for name in names if name in NAMED_BY}
    return [n for n in names if not n.startswith(_SOURCE) and (n in USUAL or n.partition(".")[0] not in owned)]


def _all_of(side: Side) -> list[str]:
    return list(dict.fromkeys(["architecture", *VARIANT, *_varying(side.columns, side.variants)]))


def _words(row: Record, columns: Iterable[str]) -> str:
    words = []
    for name in columns:
        value = setting(row, name)
        if value is None or (name == "norm" and value == "none"):
            continue
        if name == "epochs":
            words.append(f"{value} epoch{'' if value == 1 else 's'}")
        elif name == "image_size":
            words.append(f"{value} px")
        else:
            words.append(str(value) if name in USUAL else f"{short(name)}={show(value)}")
    return " ".join(words)


def _nothing(a: Side, b: Side, same: bool) -> str:
    if same:
        return f"a={a.name} and b={b.name} are the same runs: there is nothing to compare"
    counts = " and ".join(f"{len(s.variants)} variant{'' if len(s.variants) == 1 else 's'} in {s.name}" for s in (a, b))
    return (
        f"a={a.name} and b={b.name} have nothing to compare ({counts}): they must agree in all settings but those that "
        f"have no value on both sides; narrower patterns of run names leave out what does not match"
    )
