"""Rules that speak of all environments at once: a slope over sizes, a plateau over a grid of p."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from scs_study.analysis.claims.judge import Part
from scs_study.analysis.claims.rules import NOTHING, Estimate, Finding, estimate, finding
from scs_study.analysis.claims.schema import Test
from scs_study.analysis.statistics.trends import change_point
from scs_study.analysis.variants import Record


def merged(parts: Sequence[Part], test: Test, words: str, runs: Mapping[str, Record]) -> Part:
    """Return the Part that the rule of `test` makes of the parts of all its environments."""
    known = [part for part in parts if part.finding is not None]
    lacking = [f"{part.environment.words}: {text}" for part in known for text in part.lacking]
    if len(known) < len(parts):
        lacking.append(f"runs of {len(parts) - len(known)} of {len(parts)} cells")
    if len({part.epochs for part in known}) > 1:
        lacking.append("runs of the same number of epochs in all cells")
    common = tuple(sorted(set.intersection(*(set(part.seeds) for part in known)))) if known else ()
    found: Estimate = NOTHING
    said: Finding | None = None
    if common and len({part.epochs for part in known}) == 1 and len(known) >= (4 if test.rule == "plateau" else 3):
        sizes = [parameters(part, runs) for part in known]
        if test.rule == "slope" and not np.ptp(sizes) > 0:  # NaN among them, too
            lacking.append("networks of several sizes, with their number of parameters")
        elif test.rule == "slope":
            found, said = slope(known, sizes, common, test)
        else:
            found, said = plateau(known, [float(p.environment.a[0].config.layer.p or 0) for p in known], common, test)
    first = known[0] if known else parts[0]
    return dataclasses.replace(
        first,
        test=test,
        environment=dataclasses.replace(first.environment, words=words),
        found=found,
        finding=said,
        complete=all(part.complete for part in parts) and said is not None,
        seeds=common,
        dead=(max(part.dead[0] for part in parts), max(part.dead[1] for part in parts)),
        runs=tuple(dict.fromkeys(name for part in known for name in part.runs)),
        needed=tuple(each for part in parts for each in part.needed),
        lacking=tuple(dict.fromkeys(lacking)),
        paper=(math.nan, math.nan),
    )


def slope(parts: Sequence[Part], sizes: Sequence[float], seeds: Sequence[int], test: Test) -> tuple[Estimate, Finding]:
    """Return the Estimate of the slope of a difference on the size (log base 10), and its finding.

    A slope for each seed that all environments have, so the seed stays the unit.
    """
    x = np.log10(np.asarray(sizes, dtype=np.float64))
    values = [float(np.polyfit(x, [value_of(part, seed) for part in parts], 1)[0]) for seed in seeds]
    found = estimate(test, values, (-math.inf, math.inf))
    return found, finding(test, found)


def plateau(parts: Sequence[Part], grid: Sequence[float], seeds: Sequence[int], test: Test) -> tuple[Estimate, Finding]:
    """Return the change point over a grid of p as an Estimate, and whether every p from the bound on is as good.

    parts: one for each p of the grid. yes: the interval of the change point ends at or below the test's bound, and no
    p from the bound on has a mean more than delta below their common one. no: the interval lies above the bound, or a p
    from there on falls short by more than delta in every seed.
    """
    rising = sorted(range(len(grid)), key=lambda index: grid[index])
    curves = {seed: [value_of(parts[index], seed) for index in rising] for seed in seeds}
    ps = [grid[index] for index in rising]
    point = change_point(curves, np.log(ps).tolist())
    at, low, high = (math.nan if math.isnan(v) else math.exp(v) for v in (point.at, point.low, point.high))
    good = [index for index, p in enumerate(ps) if p >= test.bound]
    if not good:
        return NOTHING, "undecided"
    level = float(np.mean([curves[seed][index] for seed in seeds for index in good]))
    gaps = {ps[index]: [level - curves[seed][index] for seed in seeds] for index in good}
    short = {p: values for p, values in gaps.items() if np.mean(values) > test.delta}
    notes = [f"plateau {level:.1f} {test.metric.unit}"]
    notes += [f"p = {p:g} falls short of it by {float(np.mean(values)):.1f}" for p, values in short.items()]
    none = math.nan, math.nan
    found = Estimate((at,) * len(seeds), at, low, high, none, math.nan, math.nan, tuple(notes))
    lower, upper = (at, at) if math.isnan(high) else (low, high)
    if lower > test.bound or any(min(values) > test.delta for values in short.values()):
        return found, "no"
    if all(parts[rising[index]].dead[0] == len(parts[rising[index]].seeds) for index in good):
        return found, "undecided"  # as good as each other, at chance
    return found, "yes" if upper <= test.bound and not short else "undecided"


def value_of(part: Part, seed: int) -> float:
    """Return the value of one of a part's seeds."""
    return part.found.values[part.seeds.index(seed)]


def parameters(part: Part, runs: Mapping[str, Record]) -> float:
    """Return the number of parameters of a part's networks: the geometric mean over its runs."""
    counts = [float(runs[name]["parameters"]) for name in part.runs if runs[name].get("parameters")]
    return float(np.exp(np.mean(np.log(counts)))) if counts else math.nan
