"""Runs grouped into variants (everything that is computed but the seed), their order and their words.

A collected frame is used here as records: one dict per run, missing values None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from scs_study.analysis.collect import FINAL, USUAL, identity_columns
from scs_study.config.schema import ACTIVATIONS, LAYERS, NORMS

Record = dict[str, Any]
Key = tuple[Any, ...]

_SOURCE = ("code.", "targets.")
LIVELIEST = ("running", "interrupted", "failed", "damaged", "missing")
"""States of unfinished runs, in the order in which one of them speaks for a group."""


def records(frame: pd.DataFrame) -> list[Record]:
    """Return the rows of a collected frame as dicts; NaN and NA become None."""
    rows = frame.astype(object).to_dict("records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def variants(frame: pd.DataFrame) -> list[list[Record]]:
    """Return the runs of a collected frame in groups that differ by nothing but the seed, both in the tables' order.

    Runs whose config is not known (no folder, and no identity given) are in no group: see `unplaced`.
    """
    columns = identity_columns(frame)
    groups: dict[Key, list[Record]] = {}
    for row in records(frame):
        if row["architecture"] is not None:
            groups.setdefault(tuple(row[name] for name in columns), []).append(row)
    for group in groups.values():
        group.sort(key=lambda row: row["seed"])
    return sorted(groups.values(), key=lambda group: order(group[0], columns))


def unplaced(frame: pd.DataFrame) -> list[Record]:
    """Return the runs that belong to no variant, because no config says what they compute."""
    return [row for row in records(frame) if row["architecture"] is None]


def varying(groups: Iterable[Sequence[Record]], columns: Iterable[str]) -> tuple[str, ...]:
    """Return of `columns`, the identity keys beyond the usual ones that tell groups apart.

    Settings of the layer differ between layers by nature, so they count only where they differ for one layer; and those
    that go with the parameterisation (the start of p, the clamp) do not count beside it.
    """
    firsts = [group[0] for group in groups]
    names = [name for name in columns if name not in USUAL]
    chosen: list[str] = []
    for name in sorted(names, key=lambda name: name != "layer.parameterisation"):
        seen: dict[tuple[Any, ...], set[Any]] = {}
        for row in firsts:
            given: tuple[Any, ...] = ()
            if name.startswith("layer."):
                given = (row["layer"], row.get("layer.parameterisation"))
            elif name.startswith(_SOURCE):  # by nature other code for another name
                given = (row.get({"arch": "architecture"}.get(short(name), short(name))),)
            seen.setdefault(given[: 1 if name == "layer.parameterisation" else 2], set()).add(row[name])
        if any(len(values) > 1 for values in seen.values()):
            chosen.append(name)
    return tuple(name for name in names if name in chosen)


def label(row: Record, extra: Sequence[str] = ()) -> str:
    """Return a variant in words: "scs none maxabs", then the keys of `extra` that it sets ("p=2")."""
    words = [row["layer"], row["activation"], row["pooling"]]
    values = ((name, setting(row, name)) for name in extra)
    return " ".join([*words, *(f"{short(name)}={show(value)}" for name, value in values if value is not None)])


def setting(row: Record, name: str) -> object:
    """Return the value of a setting, None where it is none: no clamp is a choice, but not of other layers."""
    if name == "layer.w_max" and row[name] is None and row["layer.parameterisation"] == "may2022":
        return "off"
    return row[name]


def short(name: str) -> str:
    """Return the last word of a dotted key, which is how people call it."""
    return name.rpartition(".")[2]


def show(value: object) -> str:
    """Return the value of a setting as people write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "-".join(show(part) for part in value)
    return str(value)


def finished(group: Iterable[Record]) -> list[Record]:
    """Return the runs of a group that are results."""
    return [row for row in group if row["state"] in FINAL]


def state_words(group: Sequence[Record]) -> str:
    """Return the states of a group's runs in words: "done", or "2 done, 1 running (epoch 3 of 5)"."""
    if all(row["state"] == "done" for row in group):
        return "done"
    parts = []
    for state in (*FINAL, *LIVELIEST):
        members = [row for row in group if row["state"] == state]
        if not members:
            continue
        epochs = ""
        if state in ("running", "interrupted"):
            done = "/".join(str(row["epochs_done"] or 0) for row in members)
            epochs = f" (epoch {done} of {members[0]['epochs']})"
        parts.append((f"{len(members)} " if len(group) > 1 else "") + state + epochs)
    return ", ".join(parts)


def short_state(group: Sequence[Record]) -> str:
    """Return what stands where there is no number: "running 2/3" (epochs), "failed", "missing", "diverged"."""
    for state in (*LIVELIEST, *FINAL):
        members = [row for row in group if row["state"] == state]
        if members and state in ("running", "interrupted"):
            return f"{state} {sum(row['epochs_done'] or 0 for row in members)}/{sum(row['epochs'] for row in members)}"
        if members:
            return state
    raise AssertionError("a group has at least one run")


def order(row: Record, columns: Sequence[str]) -> Key:
    """Return the sort key of a variant: architecture by size, norm and image size, then as in the paper's tables."""
    size = tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", row["architecture"]))
    further = tuple(_comparable(row[name]) for name in columns if name not in USUAL)
    return (
        size,
        -NORMS.index(row["norm"]),
        _pixels(row["image_size"]),
        ((*LAYERS,).index(row["layer"]), "") if row["layer"] in LAYERS else (len(LAYERS), row["layer"]),
        ACTIVATIONS.index(row["activation"]),
        row["pooling"] == "max",
        row["data"],
        row["epochs"],
        further,
    )


def spans(numbers: Iterable[int]) -> str:
    """Return whole numbers in words: {0, 1, 2, 5} is "0-2, 5"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def recipe_words(rows: Sequence[Record]) -> str:
    """Return networks, data, epochs, seeds and recipe of runs in words, for a caption; all that occur of each."""

    def all_of(key: str) -> str:
        return " or ".join(dict.fromkeys(show(row[key]) for row in rows))

    epochs = spans(row["epochs"] for row in rows)
    return (
        f"{all_of('architecture')} on {all_of('data')} ({all_of('image_size')} pixels), {epochs} "
        f"epoch{'' if epochs == '1' else 's'}, seed {spans(row['seed'] for row in rows)}; {all_of('train.optimizer')}, "
        f"{all_of('train.schedule')} learning rate, at most {all_of('train.max_lr')}, weight decay "
        f"{all_of('train.weight_decay')}, batch {all_of('train.batch_size')}"
    )


def _comparable(value: object) -> tuple[int, Any]:
    if value is None:
        return 0, 0
    if isinstance(value, (bool, int, float)):
        return 1, value
    return 2, show(value)


def _plain(value: Any) -> Any:
    if value is pd.NA or (isinstance(value, float) and value != value):
        return None
    return value


def _pixels(image_size: object) -> int:
    """Return the pixels of an image whose size a frame gives as 32 or as "48x40"."""
    height, _, width = str(image_size).partition("x")
    return int(height) * int(width or height)
