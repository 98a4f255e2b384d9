"""Is every p above some value about as good (paper C.2: "above or near")? A threshold, and how sure it is.

Of any sweep over one range; p is its value here, as in the paper. A trial's shortfall is the best accuracy that any p
reached after as many epochs, less its own; a p's is the mean over its trials. So a pruned trial is compared at the
epoch it was given up, and neither left out nor taken for its final worth. A p is about as good if its shortfall is at
most the margin. The threshold lies between the largest p that is not, and the next larger p tested, provided that all
larger ones are.

The interval comes from resampling the trials with replacement: from the 2.5 % quantile of the lower end to the 97.5 %
quantile of the upper end. So it contains the distance between neighbouring p's, which resampling alone would hide.
With one trial a p it cannot contain the spread over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.sweep.rows import FINISHED, Row

LEVEL = 0.95
SAMPLES = 2000
LEAST = 5
"""Different p's below which there is no answer."""


@dataclass(frozen=True)
class Threshold:
    """bad: the largest p that falls short, -inf if none does; good: the next p above it, inf if the largest p falls
    short.

    low, high: the interval; share: the part of the resamplings in which a threshold lies within the range. best_p,
    best_accuracy: the p of the highest mean accuracy, and that; near: the p within the margin; p_count, trials, seeds,
    pruned: what it rests on.
    """

    bad: float
    good: float
    low: float
    high: float
    share: float
    best_p: float
    best_accuracy: float
    near: tuple[float, ...]
    p_count: int
    trials: int
    seeds: int
    pruned: int
    margin: float


def threshold(rows: Sequence[Row], name: str, margin: float) -> Threshold | None:
    """Return the threshold of finished rows in what is called `name`, None for fewer than LEAST different p or none
    done. margin: a share.
    """
    used = [row for row in rows if row.state in FINISHED]
    tried = [float(row.point[name]) for row in used]
    values = np.array(sorted(set(tried)))
    if len(values) < LEAST or not any(row.state == "done" for row in used):
        return None
    members = np.array([[each == p for each in tried] for p in values], dtype=np.float64)
    reached, curves = _curves(used)
    tested, short = _short(members, np.ones(len(used)), reached, curves, used, values, margin)
    bad, good = _edge(tested, short)
    draws = np.random.default_rng(0).multinomial(len(used), np.full(len(used), 1 / len(used)), size=SAMPLES)
    edges = np.array([_edge(*_short(members, draw, reached, curves, used, values, margin)) for draw in draws])
    tail = (1 - LEVEL) / 2
    done = [(p, row.curve[-1]) for p, row in zip(tried, used, strict=True) if row.state == "done"]
    finals = {p: np.mean([accuracy for each, accuracy in done if each == p] or [0]) for p in values}
    best = max(finals, key=lambda p: finals[p])
    return Threshold(
        bad=bad,
        good=good,
        low=float(np.quantile(edges[:, 0], tail, method="inverted_cdf")),
        high=float(np.quantile(edges[:, 1], 1 - tail, method="inverted_cdf")),
        share=float(np.mean(np.isfinite(edges).all(axis=1))),
        best_p=float(best),
        best_accuracy=float(finals[best]),
        near=tuple(float(p) for p in tested[~short]),
        p_count=len(values),
        trials=len(used),
        seeds=len({row.seed for row in used}),
        pruned=sum(row.state == "pruned" for row in used),
        margin=margin,
    )


def _curves(rows: Sequence[Row]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (reached, value): whether trial i got to the last epoch of trial j, and its accuracy there, else 0."""
    reached = np.array([[float(0 < other.epochs <= row.epochs) for other in rows] for row in rows])
    value = [[row.curve[b.epochs - 1] if 0 < b.epochs <= row.epochs else 0.0 for b in rows] for row in rows]
    return reached, np.array(value)


def _short(
    members: NDArray[np.float64],
    counts: NDArray[np.float64],
    reached: NDArray[np.float64],
    value: NDArray[np.float64],
    rows: Sequence[Row],
    values: NDArray[np.float64],
    margin: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (p that are there, whether each falls short) when trial i is there counts[i] times."""
    weights = members * counts
    number = weights @ reached
    best = np.divide(weights @ value, number, out=np.zeros_like(number), where=number > 0).max(axis=0)
    own = np.array([row.curve[-1] if row.curve else 0.0 for row in rows])
    diverged = np.array([row.state == "diverged" for row in rows])
    shortfall = np.where(diverged, math.inf, best - own)
    present = weights.sum(axis=1) > 0
    # 0 x inf is not a number: only trials that are there count.
    short = [float(np.average(shortfall[w > 0], weights=w[w > 0])) for w in weights[present]]
    return values[present], np.array(short) > margin + 1e-12


def _edge(tested: NDArray[np.float64], short: NDArray[np.bool_]) -> tuple[float, float]:
    bad = float(tested[short].max(initial=-math.inf))
    return bad, float(tested[tested > bad].min(initial=math.inf))


def answer(found: Threshold | None, name: str) -> str:
    """Return the answer to the paper's question in plain words, with what it rests on. name: what p is called."""
    if found is None:
        return f"No answer yet: fewer than {LEAST} different {name} have finished or been pruned."
    points = f"{100 * found.margin:g} points"
    best = f"the best ({100 * found.best_accuracy:.2f} % at {name} = {found.best_p:g})"
    if math.isinf(found.good):
        span = f", from {found.near[0]:g} to {found.near[-1]:g}" if found.near else ""
        first = (
            f"No: the largest {name} that was tried, {found.bad:g}, is not within {points} of {best}; "
            f"{len(found.near)} of {found.p_count} {name} are{span}."
        )
    elif math.isinf(found.bad):
        first = (
            f"No threshold in this range: every {name} that was tried, from {found.good:g} up, is within {points} of "
            f"{best}."
        )
    else:
        first = (
            f"Yes: every {name} from {found.good:g} up is within {points} of {best}, and {found.bad:g} is not; "
            f"the threshold lies between {found.bad:g} and {found.good:g}, 95 % interval {_interval(found)}."
        )
    seeds = "one seed" if found.seeds == 1 else f"{found.seeds} seeds"
    basis = (
        f"Rests on {found.trials} trials with {found.p_count} different {name} and {seeds}; {found.pruned} were pruned "
        f"and are compared at the epoch they were pruned after. Of {SAMPLES} resamplings of the trials, "
        f"{100 * found.share:.0f} % have a threshold within the range"
    )
    unseen = "; they do not contain the spread over seeds" if found.seeds == 1 else ""
    return f"{first} {basis}{unseen}. One trial that is {points} unlucky moves a threshold."


def _interval(found: Threshold) -> str:
    low = f"{found.low:g}" if math.isfinite(found.low) else "below the range tried"
    high = f"{found.high:g}" if math.isfinite(found.high) else "above the range tried"
    return f"{low} to {high}"
