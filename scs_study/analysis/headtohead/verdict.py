"""The verdict of a challenger on a baseline: by the rules of the claims, on seeds and on test images.

Every seed gives a pair of networks from common initial weights and in a common order of batches. What is compared is
the accuracy of the networks as their last epoch left them, never the best epoch's, which the test images have chosen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.claims.rules import Estimate, estimate, finding
from scs_study.analysis.claims.schema import METRICS, Test
from scs_study.analysis.statistics.hypotheses import ALPHA, holm
from scs_study.analysis.statistics.summary import FEWEST

DELTA = 1.0
"""Points of accuracy that matter, as in the claims (a test holds them equal): why, says results/paper/claims.yaml."""
DECIDES = 6
"""Seeds from which a verdict is one (the claims take as many); below, it is a leaning."""
WORDS = {
    "better": "{a} is more accurate than {b}",
    "worse": "{a} is less accurate than {b}",
    "equal": "{a} is as accurate as {b}, to within {delta:g} point{s}",
    "undecided": "undecided between {a} and {b}",
}
POWER = 2.8
"""Standard errors that a difference must be large to be found four times in five, at 95 %."""
MOST_WANTED = 1000
Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """A challenger (a) and the baseline (b) over the seeds that both have finished.

    first, second: accuracy of each seed in %. found: of the differences a - b, in points. outcome: a key of WORDS.
    decided: whether there are seeds enough. dead: how many of a's and b's networks are no better than chance. p: of no
    difference, two-sided, NaN below three seeds; p_holm: after Holm over all challengers. wanted: about how many seeds
    would decide, where it is undecided and the spread is known.
    """

    a: str
    b: str
    seeds: tuple[int, ...]
    first: tuple[float, ...]
    second: tuple[float, ...]
    found: Estimate
    delta: float
    outcome: str
    decided: bool
    dead: tuple[int, int]
    p: float
    p_holm: float
    wanted: int | None

    def sentence(self) -> str:
        """Return the verdict in a sentence."""
        words = WORDS[self.outcome].format(a=self.a, b=self.b, delta=self.delta, s="" if self.delta == 1 else "s")
        seeds = f"{len(self.seeds)} seed{'' if len(self.seeds) == 1 else 's'}"
        interval = "no interval below three seeds"
        if not math.isnan(self.found.low):
            interval = f"95 % interval {self.found.low:+.2f} to {self.found.high:+.2f}"
        text = f"{words}: {self.found.mean:+.2f} points over {seeds} ({interval})"
        if not self.decided:
            text = f"preliminary: {text}; a verdict takes {DECIDES} seeds, and may turn it"
        elif self.wanted is not None:
            text += f"; about {self.wanted} seeds would decide it"
        if any(self.dead):
            text += f"; no better than chance: {self.dead[0]} of {self.a}, {self.dead[1]} of {self.b}"
        return f"{text}."


def compare(
    baseline: tuple[str, Mapping[int, Shares]],
    challengers: Sequence[tuple[str, Mapping[int, Shares]]],
    chance: float,
    delta: float,
) -> list[Comparison]:
    """Return the Comparison of each challenger that has a seed in common with the baseline.

    Of each: its name, and by seed how right its network is on each test image, (images,): 1 or 0, or chance where a run
    diverged. chance: the accuracy of a network that knows nothing, a share; delta: the difference that matters, points.
    """
    pairs = []
    for name, of_seed in challengers:
        seeds = tuple(sorted(baseline[1].keys() & of_seed.keys()))
        if seeds:
            pairs.append(
                (name, seeds, np.stack([of_seed[s] for s in seeds]), np.stack([baseline[1][s] for s in seeds]))
            )
    estimates = [_estimate(a, b, delta) for _, _, a, b in pairs]
    p_values = [_two_sided(found) for found in estimates]
    result = []
    for (name, seeds, a, b), found, p, p_holm in zip(pairs, estimates, p_values, holm(p_values), strict=True):
        outcome = _outcome(found, delta)
        if outcome in ("better", "worse") and p_holm > ALPHA:
            outcome = "undecided"
        n = len(seeds)
        first, second = (tuple(float(value) for value in 100 * each.mean(1)) for each in (a, b))
        result.append(
            Comparison(
                a=name,
                b=baseline[0],
                seeds=seeds,
                first=first,
                second=second,
                found=found["superior"],
                delta=delta,
                outcome=outcome,
                decided=n >= DECIDES,
                dead=(_dead(first, chance, delta), _dead(second, chance, delta)),
                p=p,
                p_holm=p_holm,
                wanted=_wanted(found["superior"], delta) if outcome == "undecided" and n >= FEWEST else None,
            )
        )
    return result


def _estimate(a: Shares, b: Shares, delta: float) -> dict[str, Estimate]:
    """The difference in points as the three rules look at it; "inferior" is the baseline's superiority."""
    images = 100 * (a - b)
    values = [float(value) for value in images.mean(1)]
    superior, equivalent = _test("superior", delta), _test("equivalent", delta)
    within = (-100.0, 100.0)
    return {
        "superior": estimate(superior, values, within, images),
        "inferior": estimate(superior, [-value for value in values], within, -images),
        "equivalent": estimate(equivalent, values, within, images),
    }


def _outcome(found: Mapping[str, Estimate], delta: float) -> str:
    rules = {
        "superior": ("superior", "better"),
        "inferior": ("superior", "worse"),
        "equivalent": ("equivalent", "equal"),
    }
    for name, (rule, outcome) in rules.items():
        if finding(_test(rule, delta), found[name]) == "yes":
            return outcome
    return "undecided"


def _test(rule: str, delta: float) -> Test:
    """A rule of the claims for accuracies, without the cells: these are given."""
    nan = math.nan
    return Test(
        METRICS["accuracy"], rule, delta, (-delta, delta), nan, (), {}, (), (), {}, None, None, None, {}
    )  # fmt: skip


def _two_sided(found: Mapping[str, Estimate]) -> float:
    return min(found["superior"].p, found["inferior"].p)  # each is twice the one-sided one already


def _dead(accuracies: Sequence[float], chance: float, delta: float) -> int:
    return sum(value <= 100 * chance + delta for value in accuracies)


def _wanted(found: Estimate, delta: float) -> int | None:
    """About how many seeds decide four times in five, for a difference or for none, whichever is the nearer."""
    margin = max(abs(found.mean), delta - abs(found.mean))
    number = (POWER * float(np.std(found.values, ddof=1)) / margin) ** 2
    return max(DECIDES, math.ceil(number)) if number < MOST_WANTED else None
