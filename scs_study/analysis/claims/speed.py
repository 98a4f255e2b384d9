"""Claims about speed, from the benchmark's own CSV (results/bench/steps_*.csv): synchronised, without a loader.

A row of it has the median and the quartiles of a step's time over alternating rounds. The band of a ratio is from the
slower side's lower to its upper quartile over the faster's upper to lower: wider than the noise of either, and no
confidence interval. Every device and engine that was measured is judged by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scs_study.analysis.claims.rules import Finding
from scs_study.analysis.claims.schema import Test
from scs_study.system.places import PROJECT

FOLDER = PROJECT / "results" / "bench"
BATCHES = 3
"""Sizes of a batch that a claim about speed should be looked at with."""


@dataclass(frozen=True)
class Ratio:
    """How much longer a takes than b (variants of the benchmark) on one device by one engine, with the band of the
    quartiles; batches: the sizes that were measured, of which the largest is judged."""

    a: str
    b: str
    architecture: str
    pixels: int
    device: str
    engine: str
    batches: tuple[int, ...]
    ratio: float
    low: float
    high: float

    @property
    def place(self) -> str:
        """The network, and the size of its images where that is not 32 pixels."""
        return self.architecture + ("" if self.pixels == 32 else f" {self.pixels} px")

    def finding(self, delta: float) -> Finding:
        """Return yes where the band is above 1, no where it is below 1 + delta."""
        return "yes" if self.low > 1 else "no" if self.high < 1 + delta else "undecided"


def read_benchmark(folder: Path = FOLDER) -> pd.DataFrame:
    """Return the rows of every benchmark of steps in `folder`, with the device its file is named after."""
    frames = [
        pd.read_csv(path).assign(device=path.stem.removeprefix("steps_")) for path in sorted(folder.glob("steps_*.csv"))
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def ratios(test: Test, rows: pd.DataFrame) -> Iterator[Ratio]:
    """Return the Ratio of a test's two sides for every architecture, device and engine that has both.

    Of a side's memory layouts the faster one counts.
    """
    what = "train" if test.metric.name == "train_time" else "eval"
    if rows.empty:
        return
    for place in test.where:
        pixels = 224 if str(place.get("data", "")).endswith("_224") else 32
        here = rows[(rows["architecture"] == place["arch"]) & (rows["pixels"] == pixels)]
        for (device, engine), group in here.groupby(["device", "engine"], sort=True):
            sides = {name: group[group["variant"] == test.bench[name]] for name in ("a", "b")}
            batches = sorted(set(sides["a"]["batch"]) & set(sides["b"]["batch"]))
            if not batches:
                continue
            a, b = (_fastest(sides[name], int(batches[-1]), what) for name in ("a", "b"))
            yield Ratio(
                test.bench["a"], test.bench["b"], str(place["arch"]), pixels, str(device), str(engine),
                tuple(int(size) for size in batches),
                a["ms"] / b["ms"], a["low"] / b["high"], a["high"] / b["low"],
            )  # fmt: skip


def _fastest(rows: pd.DataFrame, batch: int, what: str) -> Mapping[str, float]:
    same = rows[rows["batch"] == batch]
    best = same.sort_values(f"{what}_ms").iloc[0]
    return {name: float(best[f"{what}_{name}"]) for name in ("ms", "low", "high")}


def machines(found: Sequence[Ratio]) -> list[tuple[str, str]]:
    """Return the (device, engine) pairs among ratios, in their order."""
    return list(dict.fromkeys((each.device, each.engine) for each in found))


def middle(found: Sequence[Ratio]) -> tuple[float, float, float]:
    """Return the geometric mean of ratios, and the lowest and the highest end of their bands."""
    mean = math.exp(sum(math.log(each.ratio) for each in found) / len(found))
    return mean, min(each.low for each in found), max(each.high for each in found)
