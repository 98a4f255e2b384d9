"""The leaderboard of parameter efficiency: how few parameters reach an accuracy, published entries beside our runs.

Parameters are counted by one rule for all of ours: trainable values of which every one is used. Accuracy is that of the
last epoch on the whole test set, which no epoch was chosen by; held-out training images never count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from scs_study.analysis.collect import WHOLE, identity_columns
from scs_study.analysis.statistics.summary import interval
from scs_study.analysis.table_writer import markdown_text
from scs_study.config.checks import check_keys, choice, number, whole
from scs_study.config.schema import PRETRAINED

HEADS = ("parameters", "network", "accuracy %", "n", "95 % interval", "the bar is met by", "source")
OURS = "this project"
PUBLISHED = ("dataset", "bar", "parameters", "model", "source", "accuracy", "note")


@dataclass(frozen=True)
class Dataset:
    """A data set by its name in run configs. bars: accuracies from 0 to 100 that count, in the order of the page."""

    name: str
    title: str
    bars: tuple[float, ...]


@dataclass(frozen=True)
class Published:
    """What somebody reports for a bar. accuracy: in %, None where only the bar is said to be met."""

    dataset: str
    bar: float
    parameters: int
    model: str
    source: str
    accuracy: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class Ours:
    """A network of ours by one recipe. accuracies: of its seeds' last epochs, in %, in no order."""

    dataset: str
    parameters: int
    model: str
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean accuracy."""
        return math.fsum(self.accuracies) / len(self.accuracies)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % t interval of the mean; NaN for fewer than three seeds."""
        return interval(self.accuracies, within=(0.0, 100.0))

    def met_by(self, bar: float) -> str:
        """Return what reaches a bar: the whole interval, the mean alone, the best seed alone, or nothing."""
        if len(self.accuracies) == 1:
            return "its one seed" if self.mean >= bar else "-"
        if self.interval[0] >= bar:
            return "the interval"
        if self.mean >= bar:
            return "the mean"
        return "the best seed only" if max(self.accuracies) >= bar else "-"


def read_settings(values: Mapping[str, Any]) -> tuple[list[Dataset], list[Published]]:
    """Return the data sets and published entries of conf/leaderboard.yaml. Raises ValueError in one sentence."""
    datasets = []
    for name, entry in values["datasets"].items():
        check_keys(f"datasets.{name}.", entry, ("title", "bars"))
        bars = tuple(number(f"datasets.{name}.bars", bar, 0.0, 100.0) for bar in entry["bars"])
        datasets.append(Dataset(str(name), str(entry["title"]), bars))
    published = []
    for index, entry in enumerate(values["published"]):
        key = f"published[{index}]"
        check_keys(f"{key}.", entry, PUBLISHED, optional=("accuracy", "note"))
        dataset = choice(key, entry["dataset"], values["datasets"])
        bars = next(each.bars for each in datasets if each.name == dataset)
        if entry["bar"] not in bars:
            raise ValueError(f"{key}.bar={entry['bar']}: {entry['dataset']} has the bars {', '.join(map(str, bars))}")
        whole(f"{key}.parameters", entry["parameters"], 1)
        published.append(Published(**entry))
    return datasets, published


def ours_of(frame: pd.DataFrame) -> list[Ours]:
    """Return the networks of collected runs that have all their epochs, each with all its seeds, smallest first.

    frame: collected runs (analysis.collect); a run that is in it twice, as in a folder and in its records, counts once.
    Left out: runs that started from trained weights, whose accuracy is also another recipe's.
    """
    done = frame[frame["state"].isin(WHOLE) & frame["parameters"].notna()].drop_duplicates("run")
    if len(done):
        done = done[~done["init"].astype(str).str.contains(f"{PRETRAINED}|checkpoint")]
    columns = list(identity_columns(done))
    found = []
    for _, group in done.astype(dict.fromkeys(columns, object)).groupby(columns, dropna=False, sort=False):
        row = {str(key): value for key, value in group.iloc[0].items()}
        accuracies = tuple(100 * float(value) for value in group["final_test_accuracy"])
        found.append(Ours(str(row["data"]), int(row["parameters"]), _words(row), accuracies))
    return sorted(found, key=lambda entry: (entry.parameters, -entry.mean, entry.model))


def _words(row: Mapping[str, Any]) -> str:
    parts = [row["architecture"], row["layer"], row["activation"], row["pooling"]]
    named = [str(part) for part in parts if part != "none"]
    return f"{', '.join(named)}, {row['epochs']} epoch{'' if row['epochs'] == 1 else 's'}"


def frontier(entries: Iterable[Ours]) -> list[Ours]:
    """Return the entries that no other one of fewer, or as few, parameters equals or beats in mean accuracy."""
    best, found = -math.inf, []
    for entry in sorted(entries, key=lambda each: (each.parameters, -each.mean)):
        if entry.mean > best:
            best = entry.mean
            found.append(entry)
    return found


def page_text(datasets: Sequence[Dataset], published: Sequence[Published], ours: Sequence[Ours]) -> str:
    """Return the tables of the page: for each data set and bar what reaches it, then our frontier."""
    parts = []
    for data in datasets:
        own = [entry for entry in ours if entry.dataset == data.name]
        for bar in data.bars:
            parts.append(f"## {data.title}, {bar:g} %\n")
            rows = _rows(bar, [e for e in published if (e.dataset, e.bar) == (data.name, bar)], own)
            parts.append(markdown_text([], HEADS, rows, align="rllrlll") if rows else "Nobody yet.\n")
        if near := frontier(own):
            parts.append(f"### Our frontier on {data.title}\n")
            heads = ("parameters", "network", "accuracy %", "n", "95 % interval", "best seed %")
            cells = [(*_own(entry), f"{max(entry.accuracies):.2f}") for entry in near]
            parts.append(markdown_text([], heads, cells, align="rllrll"))
        else:
            parts.append(f"No run of {data.title} is finished here: nothing of it has been replicated.\n")
    return "\n".join(parts)


def _rows(bar: float, published: Sequence[Published], own: Sequence[Ours]) -> list[tuple[str, ...]]:
    rows: list[tuple[int, tuple[str, ...]]] = []
    for entry in published:
        reported = f"at least {bar:g}" if entry.accuracy is None else f"{entry.accuracy:g}"
        source = entry.source + (f"; {entry.note}" if entry.note else "")
        rows.append((entry.parameters, (f"{entry.parameters:,}", entry.model, reported, "", "", "its report", source)))
    rows += [(each.parameters, (*_own(each), met, OURS)) for each in own if (met := each.met_by(bar)) != "-"]
    return [cells for _, cells in sorted(rows, key=lambda row: row[0])]


def _own(entry: Ours) -> tuple[str, ...]:
    low, high = entry.interval
    span = "" if math.isnan(low) else f"{low:.2f} to {high:.2f}"
    return f"{entry.parameters:,}", entry.model, f"{entry.mean:.2f}", str(len(entry.accuracies)), span
