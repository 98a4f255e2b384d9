"""What several seeds of a table's variants say: live ones together, dead ones apart, differences paired by seed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scs_study.analysis.dead import chance, is_dead
from scs_study.analysis.statistics import Summary, paired, summarise
from scs_study.analysis.statistics.bounded import shares
from scs_study.analysis.statistics.summary import interval
from scs_study.analysis.variants import Record, finished

Group = Sequence[Record]


@dataclass(frozen=True)
class Versus:
    """The paired difference to the baseline in points; its interval is NaN below three pairs. n: pairs."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Several:
    """The finished seeds of a variant. live: the summary of those that are not dead (of all, where all are).

    live.low, live.high: on the logit scale, with the SD pooled over the table's live variants. versus: None for the
    baseline itself and where it has no seed in common.
    """

    live: Summary
    dead: int
    finished: int
    versus: Versus | None


def has_several(groups: Sequence[Group]) -> bool:
    """Return whether a variant has more than one finished seed: a table of single seeds says nothing about seeds."""
    return any(len(finished(group)) > 1 for group in groups)


def several_of(groups: Sequence[Group], baselines: Sequence[Group]) -> list[Several]:
    """Return the Several of each variant of a table, by the best test accuracy. baselines: the usual network's."""
    living = [[row for row in _known(group) if not is_dead(row)] for group in groups]
    intervals = iter(shares([[row["best_test_accuracy"] for row in live] for live in living if live]))
    found = []
    for group, live in zip(groups, living, strict=True):
        summary = summarise(row["best_test_accuracy"] for row in (live or _known(group)))
        share = next(intervals) if live else None
        low, high = (share.low, share.high) if share is not None else (math.nan, math.nan)
        ended = finished(group)
        found.append(
            Several(
                live=dataclasses.replace(summary, low=low, high=high),
                dead=sum(map(is_dead, ended)),
                finished=len(ended),
                versus=_versus(group, baseline_of(group, baselines, ("init",))),
            )
        )
    return found


def baseline_of(group: Group, baselines: Sequence[Group], also: Sequence[str] = ()) -> Group | None:
    """Return the baseline of a variant's architecture, norm, data, recipe, and of further columns; None without one."""
    first = group[0]
    alike = [name for name in first if name in ("architecture", "norm") or name.startswith(("train.", "data."))]
    alike += ["image_size", "data", "epochs", *also]
    return next((other for other in baselines if all(other[0][name] == first[name] for name in alike)), None)


def _versus(group: Group, baseline: Group | None) -> Versus | None:
    if baseline is None or baseline is group:
        return None
    ours, theirs = values_by_seed(group), values_by_seed(baseline)
    common = {seed for seed in ours.keys() & theirs.keys() if ours[seed][1] == theirs[seed][1] is not None}
    if not common:
        return None
    a, b = ({seed: values[seed][0] for seed in common} for values in (ours, theirs))
    low, high = interval([a[seed] - b[seed] for seed in common], within=(-100, 100))
    return Versus(paired(a, b).difference.mean, low, high, len(common))


def _known(group: Group) -> list[Record]:
    return [row for row in finished(group) if row["best_test_accuracy"] is not None]


def values_by_seed(group: Group) -> Mapping[int, tuple[float, object]]:
    """Return by seed the best accuracy in %, a dead seed's at chance, and the checksum of the initial weights."""
    return {
        row["seed"]: (100 * (chance(row) if is_dead(row) else row["best_test_accuracy"]), row["shared_checksum"])
        for row in finished(group)
        if is_dead(row) or row["best_test_accuracy"] is not None
    }
