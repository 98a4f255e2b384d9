"""The cells of a claim as the project's own configs, and the finished runs of a collected frame that are these cells.

A cell is composed from conf/ like any run, so a claim follows when a config gains a key, and every run that is missing
has a name. Runs match a cell when they agree in all of their identity but the seed, the number of epochs and the class
of numerics; those that are compared must then agree in these two and in the kind of device.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scs_study.analysis.claims.schema import COMPOSED, Choice, Claim, ClaimFile, Settings, Test
from scs_study.analysis.collect import FINAL, RENAMED, flatten, identity_columns
from scs_study.analysis.paper import paper_epochs
from scs_study.analysis.variants import Record, records
from scs_study.config.schema import CellConfig
from scs_study.experiments.compose import compose_cell, load_option

FREE = ("seed", "epochs", "train.numerics")
"""Identity columns in which a run may differ from the cell that it stands for."""


@dataclass(frozen=True)
class Cell:
    """One cell of a comparison. config: of seed 0 at the full schedule. wanted: its identity as columns, FREE left out.

    patterns: columns that only have to match a pattern (init: checkpoint-*). settings: what it was composed of, which
    is what scripts/train.py needs besides the seed.
    """

    config: CellConfig
    wanted: Mapping[str, Any]
    patterns: Mapping[str, str]
    settings: Settings

    @property
    def words(self) -> str:
        """The cell in a few words: "scs none maxabs", and what else was asked for."""
        c = self.config
        return " ".join([c.layer.name, c.activation, c.pooling])

    def run_name(self, seed: int) -> str:
        """Return the name of the cell's run of a seed."""
        return dataclasses.replace(self.config, seed=seed).run_name


@dataclass(frozen=True)
class Environment:
    """Where a comparison is made: words for it, and the cells of both sides. choice: what is set otherwise, or None."""

    words: str
    a: tuple[Cell, ...]
    b: tuple[Cell, ...]
    full_epochs: int
    choice: Choice | None = None

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of both sides."""
        return (*self.a, *self.b)


@dataclass(frozen=True)
class Group:
    """Runs that may be compared: of one schedule, class of numerics and kind of device; for each cell seed -> run."""

    epochs: int
    numerics: str
    device: str
    runs: tuple[Mapping[int, Record], ...]

    def seeds(self, without: Iterable[int] = ()) -> tuple[int, ...]:
        """Return the seeds that every cell has a finished run of."""
        common = set.intersection(*(set(each) for each in self.runs)) if self.runs else set()
        return tuple(sorted(common - set(without)))


class Runs:
    """The finished runs of collected frames, found by cell. Each record has the `folder` that its run lies in."""

    def __init__(self, frames: Mapping[Path, pd.DataFrame]) -> None:
        self.records: list[Record] = []
        seen: set[str] = set()
        for folder, frame in frames.items():
            for row in records(frame):
                if row["state"] in FINAL and row["architecture"] is not None and row["run"] not in seen:
                    seen.add(row["run"])
                    self.records.append({**row, "folder": folder / row["run"]})
        self._by_identity: dict[frozenset[tuple[str, Any]], list[Record]] = defaultdict(list)
        # Those of every run, whether it has them or not: a run with mixup is none of a cell without.
        keys = {key for frame in frames.values() for key in identity_columns(frame)}
        self._keys = sorted((keys | set(flatten(compose_cell({}, {}, 0).identity()))) - set(FREE))
        for row in self.records:
            self._by_identity[self._key({key: row.get(key) for key in self._keys})].append(row)

    def of(self, cell: Cell) -> list[Record]:
        """Return the finished runs of a cell, of any schedule, numerics and seed."""
        if not cell.patterns:
            return self._by_identity.get(self._key(cell.wanted), [])
        exact = {key: value for key, value in cell.wanted.items() if key not in cell.patterns}
        return [
            row
            for row in self.records
            if all(row.get(key) == value for key, value in exact.items())
            and all(_matches(str(row.get(key)), pattern) for key, pattern in cell.patterns.items())
        ]

    def groups(self, cells: Sequence[Cell]) -> list[Group]:
        """Return what may be compared of these cells: full schedules first, then the longest, then the most seeds."""
        found: dict[tuple[int, str, str], list[dict[int, Record]]] = {}
        for index, cell in enumerate(cells):
            for row in self.of(cell):
                key = (row["epochs"], str(row.get("train.numerics")), kind_of(row.get("device")))
                found.setdefault(key, [{} for _ in cells])[index][row["seed"]] = row
        groups = [Group(*key, tuple(each)) for key, each in found.items()]
        full = cells[0].config.train.epochs if cells else 0
        return sorted(groups, key=lambda g: (g.epochs != full, -g.epochs, -len(g.seeds()), g.numerics, g.device))

    @staticmethod
    def _key(values: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
        return frozenset((key, value) for key, value in values.items() if value is not None)


def _matches(value: str, patterns: str) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns.split("|"))


def kind_of(device: object) -> str:
    """Return the kind of a run's device: "cpu" whatever its threads, or the name of the GPU."""
    return str(device).partition(",")[0]


def environments(file: ClaimFile, test: Test, changed: Choice | None = None) -> list[Environment]:
    """Return the environments of a test, in the order of `where`, then of `across`; with `changed`, those that it
    changes.

    Raises ValueError in one sentence for a cell that cannot be.
    """
    found = []
    for place, point in itertools.product(test.where, points_of(test.across)):
        both = {key: value for key, value in point.items() if not key.startswith(("a.", "b."))}
        common = {**file.base, **test.set, **place, **both}
        a, b = (_side(test, common, point, name, changed) for name in ("a", "b"))
        if changed is not None:
            usual = [_side(test, common, point, name, None) for name in ("a", "b")]
            if [cell.config for side in usual for cell in side] == [cell.config for cell in (*a, *b)]:
                continue
        else:
            _check_starts(test, (*a, *b))
        words = str(place["label"]) if "label" in place else _words(a[0].config, point)
        found.append(Environment(words, a, b, a[0].config.train.epochs, changed))
    return found


def _check_starts(test: Test, cells: Sequence[Cell]) -> None:
    """Raise ValueError where SCS and SharpenedSDP are compared from different starts of p, which is a difference of its
    own: the start alone moves what is measured by as much as the layer does. Time does not depend on it.
    """
    starts = {c.layer.name: (c.layer.p, c.layer.p_init) for c in (cell.config for cell in cells)}
    apart = "scs" in starts and "sdp" in starts and starts["scs"] != starts["sdp"]
    if apart and test.metric.source not in ("bench", "files"):
        raise ValueError(
            f"{test.metric.name}: SCS and SharpenedSDP are judged from different starts of p: set layer.p_init for both"
        )


def _side(test: Test, common: Settings, point: Settings, name: str, changed: Choice | None) -> tuple[Cell, ...]:
    own = {key[2:]: value for key, value in point.items() if key.startswith(f"{name}.")}
    cells = test.a if name == "a" else test.b
    return tuple(compose(common, {**cell, **own}, test.epochs, changed) for cell in cells)


def compose(common: Settings, cell: Settings, epochs: int | None, changed: Choice | None = None) -> Cell:
    """Return the Cell of settings in common and of its own, at `epochs` or else the paper's number of them."""
    values = _changed({**common, **cell}, changed)
    values.pop("label", None)
    values.setdefault("train.epochs", paper_epochs(str(values.get("arch", ""))) if epochs is None else epochs)
    patterns = {RENAMED.get(str(key), str(key)): str(value) for key, value in values.get("match", {}).items()}
    choices = {key: str(value) for key, value in values.items() if key in COMPOSED}
    settings = {key: value for key, value in values.items() if key not in (*COMPOSED, "match")}
    config, wanted = _config(tuple(sorted(choices.items())), tuple(sorted(settings.items())))
    return Cell(config, wanted, patterns, values)


@functools.cache
def _config(
    choices: tuple[tuple[str, str], ...], settings: tuple[tuple[str, Any], ...]
) -> tuple[CellConfig, Mapping[str, Any]]:
    """The cell of seed 0 and its identity without what is free; claims share most of their cells."""
    config = compose_cell(dict(choices), dict(settings), 0)
    return config, {key: value for key, value in flatten(config.identity()).items() if key not in FREE}


def variant_of(cell: Cell, point: Settings) -> Cell:
    """Return the cell with some of its settings replaced: a candidate for the best variant."""
    return compose(cell.settings, point, None)


def _changed(values: dict[str, Any], changed: Choice | None) -> dict[str, Any]:
    """The settings with those of a choice in them, as far as the cell has such a setting."""
    if changed is None:
        return values
    layer = load_option("layer", str(values["layer"]))
    learned = values.get("layer.p", layer["p"]) is None and values.get("layer.p_init", layer["p_init"]) is not None
    result = dict(values)
    for key, value in changed.settings.items():
        if key == "layer":
            if learned and load_option("layer", str(value))["name"] == values["layer"]:
                result["layer"] = value
                result.pop("layer.p_init", None)
        elif key == "layer.p_init":
            if learned:
                result[key] = value
        elif not (key == "init" and "init" in values.get("match", {})):
            result[key] = value
    return result


def choices_of(file: ClaimFile, claim: Claim) -> Iterator[tuple[str, Choice]]:
    """Return the choices that a claim must be robust to: name of the choice, and what is set."""
    for name in claim.choices:
        for each in file.choices[name]:
            yield name, each


def points_of(axes: Mapping[str, Sequence[Any]]) -> list[Settings]:
    """Return the product of axes, settings for each point; one empty point without axes."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _words(config: CellConfig, point: Settings) -> str:
    words = [config.arch]
    if config.data.image_size != 32:
        words.append(f"{config.data.image_size} px")
    if config.arch == "resnet18":
        words.append("BatchNorm" if config.norm == "batchnorm" else "no norm")
    for key, value in point.items():
        if key in ("arch", "norm", "data"):
            continue
        short = key.removeprefix("a.").removeprefix("b.")
        words.append(str(value) if short in COMPOSED else f"{short.rpartition('.')[2]}={written(value)}")
    return " ".join(words)


def written(value: Any) -> str:
    """Return a value as an override of a command line has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(written(each) for each in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
