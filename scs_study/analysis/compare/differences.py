"""A - B in each place: paired by seed where both sides have the same initial weights, else by Welch's interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scs_study.analysis.claims.metrics import last_epochs
from scs_study.analysis.collect import history
from scs_study.analysis.compare.sides import Matched, Pair
from scs_study.analysis.dead import chance, is_dead
from scs_study.analysis.statistics import Summary, paired, summarise
from scs_study.analysis.statistics.hypotheses import above_p, below_p, holm
from scs_study.analysis.statistics.summary import interval
from scs_study.analysis.statistics.unpaired import unpaired
from scs_study.analysis.variants import Record, finished, spans

RANGE = (-100.0, 100.0)


@dataclass(frozen=True)
class Measured:
    """The finished runs of a variant. values: seed -> accuracy in %, dead seeds at chance; dead: how many those are.

    live: summary of the others. left: runs that are no result yet.
    """

    values: Mapping[int, float]
    starts: Mapping[int, str | None]
    dead: int
    live: Summary
    left: int
    runs: tuple[str, ...]
    device: str


@dataclass(frozen=True)
class Difference:
    """One comparison: both sides, and a - b in points.

    seeds: those that are paired, () where none can be. by_seed: their differences. p: two-sided, of the t test; p_holm:
    after Holm over all comparisons; flip_p: exact sign flips. An interval and a p need three seeds.
    """

    pair: Pair
    a: Measured
    b: Measured
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    mean: float
    low: float
    high: float
    p: float
    p_holm: float
    flip_p: float
    note: str


def differences(found: Matched, metric: str = "endpoint") -> list[Difference]:
    """Return the difference of every pair. metric: one of METRICS.

    Raises ValueError naming the file where a run's history is damaged.
    """
    each = [_difference(pair, METRICS[metric]) for pair in found.pairs]
    return [_with_holm(d, p) for d, p in zip(each, holm(d.p for d in each), strict=True)]


def endpoint(row: Record) -> float:
    """Return the mean test accuracy of the last five epochs in %; of a run shorter than fifty the last tenth."""
    values = history(Path(row["folder"]))["test_accuracy"].to_numpy(dtype=np.float64)
    if not len(values) or np.isnan(values).any():
        raise ValueError(f"{row['run']}: history.jsonl has no test accuracy of every epoch")
    return 100 * float(np.mean(values[-last_epochs(len(values)) :]))


METRICS: Mapping[str, Callable[[Record], float]] = {
    "endpoint": endpoint,
    "final": lambda row: 100 * float(row["final_test_accuracy"]),
    "best": lambda row: 100 * float(row["best_test_accuracy"]),
}
METRIC_WORDS = {
    "endpoint": "test accuracy, mean of the last five epochs (of a run shorter than fifty the last tenth)",
    "final": "test accuracy after the last epoch",
    "best": "best test accuracy of any epoch",
}


def _difference(pair: Pair, value: Callable[[Record], float]) -> Difference:
    a, b = _measured(pair.a, value), _measured(pair.b, value)
    common = sorted(a.values.keys() & b.values.keys())
    equal = [s for s in common if a.starts[s] is not None and a.starts[s] == b.starts[s]]
    if equal:
        found = paired({s: a.values[s] for s in equal}, {s: b.values[s] for s in equal})
        by_seed = tuple(a.values[s] - b.values[s] for s in equal)
        low, high = interval(by_seed, within=RANGE)
        p = min(above_p(by_seed, 0), below_p(by_seed, 0)) if not math.isnan(low) else math.nan
        mean, flip_p = found.difference.mean, found.permutation_p
        unused = sorted((a.values.keys() | b.values.keys()) - set(equal))
        note = f"seed{'' if len(unused) == 1 else 's'} {spans(unused)} of one side alone" if unused else ""
    else:
        apart = unpaired(list(a.values.values()), list(b.values.values()), RANGE)
        by_seed, flip_p = (), math.nan
        mean, low, high, p = apart.mean, apart.low, apart.high, apart.p
        note = "unpaired: other initial weights" if common else "unpaired: no seed in common"
        note = note if a.values and b.values else "no finished run on both sides"
    if a.device and b.device and a.device != b.device:
        note = "; ".join(filter(None, [note, f"on {a.device} and {b.device}"]))
    return Difference(pair, a, b, tuple(equal), by_seed, mean, low, high, p, math.nan, flip_p, note)


def _measured(group: Sequence[Record], value: Callable[[Record], float]) -> Measured:
    ended = finished(group)
    values = {row["seed"]: 100 * chance(row) if is_dead(row) else value(row) for row in ended}
    return Measured(
        values=values,
        starts={row["seed"]: row["shared_checksum"] for row in ended},
        dead=sum(map(is_dead, ended)),
        live=summarise(values[row["seed"]] for row in ended if not is_dead(row)),
        left=len(group) - len(ended),
        runs=tuple(row["run"] for row in group),
        device=" + ".join(sorted({str(row["device"]).partition(",")[0] for row in ended if row["device"]})),
    )


def _with_holm(difference: Difference, p: float) -> Difference:
    return Difference(**{**vars(difference), "p_holm": p})
