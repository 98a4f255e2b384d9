"""Runs that lie in several folders as one frame: a study's own, and published records of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scs_study.analysis.collect import collect, identity_columns
from scs_study.analysis.variants import records, short, show
from scs_study.training.run_dir import RESULT


@dataclass(frozen=True)
class Gathered:
    """Collected runs, each once. folders: where each lies, or would; by_place: the same runs by folder of runs."""

    frame: pd.DataFrame
    folders: Mapping[str, Path]
    by_place: Mapping[Path, pd.DataFrame]


def collected(frame: pd.DataFrame, runs: Path) -> Gathered:
    """Return runs that were collected from one folder already."""
    return Gathered(frame, {name: runs / name for name in frame["run"]}, {runs: frame})


def gathered(planned: Mapping[str, Mapping[str, Any] | None], places: Sequence[Path]) -> Gathered:
    """Return what `sought` does. Raises ValueError when no place has any of the runs."""
    found = sought(planned, places)
    if (found.frame["state"] == "missing").all():
        further = f", nor in any of {len(places) - 1} further folders" if len(places) > 1 else ""
        raise ValueError(f"none of these {len(found.frame)} runs has started in {places[0]}{further}")
    return found


def sought(planned: Mapping[str, Mapping[str, Any] | None], places: Sequence[Path]) -> Gathered:
    """Return the runs `planned` (run name -> identity, None: what its folder says), each from the first place with its
    result, or else from the first where it has begun.
    """
    where = {name: _place(name, places) for name in planned}
    by_place = {}
    for place in places:
        mine = {name: planned[name] for name, there in where.items() if there == place}
        if mine:
            identities = {name: identity for name, identity in mine.items() if identity is not None}
            by_place[place] = collect(place, identities if len(identities) == len(mine) else list(mine))
    frames = [frame.astype(object) for frame in by_place.values()]
    frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    order = {name: number for number, name in enumerate(planned)}
    frame = frame.iloc[frame["run"].map(order).argsort(kind="stable")].reset_index(drop=True)
    return Gathered(frame, {name: place / name for name, place in where.items()}, by_place)


def by_schedule(found: Gathered) -> list[tuple[str, Gathered]]:
    """Return runs in parts that a table and a plot can hold, in their order: of the same images and as many epochs.

    Each part has a title: what the data are, their settings where parts differ in these, and the epochs.
    """
    images = [name for name in identity_columns(found.frame) if name.startswith("data.") or name == "image_size"]
    rows = records(found.frame)
    parts: dict[tuple[Any, ...], list[str]] = {}
    for row in rows:
        parts.setdefault((row["data"], row["epochs"], *(row[name] for name in images)), []).append(row["run"])
    titles = [_title(key, list(parts), images) for key in parts]
    return [(title, only(found, set(names))) for title, names in zip(titles, parts.values(), strict=True)]


def _title(key: tuple[Any, ...], keys: Sequence[tuple[Any, ...]], images: Sequence[str]) -> str:
    """A part's images and epochs in words, with the settings of its data that another part of these has otherwise."""
    data, epochs, *settings = key
    if data is None:
        return "runs that no config describes"
    others = [other[2:] for other in keys if other[0] == data]
    differ = [
        f"{short(name)} {show(value)}"
        for number, (name, value) in enumerate(zip(images, settings, strict=True))
        if value is not None and len({other[number] for other in others}) > 1
    ]
    return ", ".join([str(data), *differ, f"{epochs} epoch{'' if epochs == 1 else 's'}"])


def only(found: Gathered, names: set[str]) -> Gathered:
    """Return those of the runs that have these names."""

    def of(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["run"].isin(names)].reset_index(drop=True)

    by_place = {place: part for place, frame in found.by_place.items() if len(part := of(frame))}
    folders = {name: folder for name, folder in found.folders.items() if name in names}
    return Gathered(of(found.frame), folders, by_place)


def _place(name: str, places: Sequence[Path]) -> Path:
    known = [place for place in places if (place / name).is_dir()]
    return next((place for place in known if (place / name / RESULT).is_file()), [*known, places[0]][0])
