"""The runs behind the numbers of a page: state, result, time, device, commit; their recipes and what computed them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scs_study.analysis.collect import FINAL
from scs_study.analysis.paper import recipe_differences
from scs_study.analysis.variants import LIVELIEST, Record, label, recipe_words, records, variants
from scs_study.report.public import link, own_names, public
from scs_study.runs.provenance import PROVENANCE
from scs_study.system.files import read_lines


@dataclass(frozen=True)
class Run:
    """A run as the page shows it. best, last: accuracy in % as text; seconds: of an epoch, trained and evaluated;
    hours: of all its epochs. link: relative to the page, None where it would tell of the machine.
    """

    name: str
    state: str
    epochs: str
    best: str
    last: str
    seconds: str
    hours: str
    device: str
    commit: str
    message: str
    link: str | None


@dataclass(frozen=True)
class Recipe:
    """A recipe in words, in what it differs from the paper's, and the variants trained by it."""

    words: str
    departures: tuple[str, ...]
    variants: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """How far a set of runs has come. words: "4 done, 1 running, 3 missing"."""

    planned: int
    finished: int
    words: str

    @property
    def whole(self) -> bool:
        """Whether every run has a result."""
        return self.finished == self.planned


def runs_of(frame: pd.DataFrame, folders: Mapping[str, Path], page: Path, results: Path) -> list[Run]:
    """Return the runs of a frame in its order. folders: where each lies; page: the file; results: of all studies."""
    return [_run(row, folders[row["run"]], page, results) for row in records(frame)]


def progress_of(frame: pd.DataFrame) -> Progress:
    """Return how far the runs of a frame have come."""
    counts = Counter(frame["state"])
    words = ", ".join(f"{counts[state]} {state}" for state in (*FINAL, *LIVELIEST) if counts[state])
    return Progress(len(frame), sum(counts[state] for state in FINAL), words)


def recipes_of(frame: pd.DataFrame) -> list[Recipe]:
    """Return the recipes of a frame's variants with their departures from the paper's, the most common first."""
    found: dict[tuple[str, ...], list[Sequence[Record]]] = {}
    for group in variants(frame):
        found.setdefault(recipe_differences(group[0]), []).append(group)
    recipes = []
    for departures, groups in sorted(found.items(), key=lambda item: -len(item[1])):
        names = dict.fromkeys(f"{group[0]['architecture']} {label(group[0])}" for group in groups)
        recipes.append(Recipe(recipe_words([row for g in groups for row in g]), departures, tuple(names)))
    return recipes


def computed_with(frame: pd.DataFrame, folders: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Return what computed the runs, a line each: engine, threads, Python, packages; all values that occur of each."""
    found: dict[str, dict[str, None]] = {}
    for row in records(frame):
        for start in _starts(folders[row["run"]]):
            versions = start.get("versions")
            values = {key: start.get(key) for key in ("device", "engine", "kernels", "threads", "cuda", "python")}
            values |= versions if isinstance(versions, dict) else {}
            for key, value in values.items():
                if value is not None:
                    found.setdefault(key, {})[public(value)] = None
    return [(key, ", ".join(values)) for key, values in found.items()]


def private_names(folders: Iterable[Path]) -> set[str]:
    """Return the names of this machine and its user, and of every machine that the runs remember."""
    hosts = {str(start["host"]) for folder in folders for start in _starts(folder) if start.get("host")}
    return own_names() | hosts | {host.partition(".")[0] for host in hosts}


def _run(row: Record, folder: Path, page: Path, results: Path) -> Run:
    seconds = [row[name] for name in ("train_seconds", "eval_seconds") if row[name] is not None]
    done = row["epochs_done"] or 0
    return Run(
        name=row["run"],
        state=row["state"],
        epochs=f"{done}/{'?' if row['epochs'] is None else row['epochs']}",
        best=_percent(row["best_test_accuracy"]),
        last=_percent(row["final_test_accuracy"]),
        seconds=f"{sum(seconds):.3g}" if seconds else "",
        hours=f"{sum(seconds) * done / 3600:.2f}" if seconds else "",
        device=row["device"] or "",
        commit=row["commit"] or "",
        message=str(row["message"] or "").splitlines()[0] if row["message"] else "",
        link=link(folder, page, results) if folder.is_dir() else None,
    )


def _starts(folder: Path) -> list[dict[str, Any]]:
    try:
        return read_lines(folder / PROVENANCE)
    except (OSError, ValueError):  # no run, or a damaged one: its state says so
        return []


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f}"
