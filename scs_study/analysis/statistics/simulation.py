"""How often the statistics are right when the truth is known: simulated studies through the functions that claims use.

Every check draws studies from a stated truth, asks the real function, and counts. It names the band in which the share
must lie; docs/statistics.md shows the shares, and a test holds a smaller number of studies to the same bands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from scs_study.analysis.statistics.average import average_interval
from scs_study.analysis.statistics.bootstrap import two_level_interval
from scs_study.analysis.statistics.bounded import shares
from scs_study.analysis.statistics.counts import clopper_pearson, mcnemar
from scs_study.analysis.statistics.hypotheses import ALPHA, above_p, equivalence_p, holm, several_p
from scs_study.analysis.statistics.paired import permutation_test
from scs_study.analysis.statistics.summary import interval, summarise
from scs_study.analysis.statistics.trends import block_means, change_point, mann_kendall

SD = 0.9
"""Points of accuracy: the spread of a paired difference over seeds, as measured on these networks."""
GRID = (0.25, 0.5, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
Generator = np.random.Generator
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """subject, truth, counted: words. low, high: the band that the share must lie in. share, studies: what came out."""

    subject: str
    truth: str
    counted: str
    low: float
    high: float
    share: float
    studies: int

    def holds(self, errors: float = 4.0) -> bool:
        """Return whether the share lies in its band, give or take `errors` standard errors of so many studies."""
        low, high = (
            bound + side * errors * math.sqrt(max(bound * (1 - bound), 1 / self.studies) / self.studies)
            for bound, side in ((self.low, -1), (self.high, 1))
        )
        return low <= self.share <= high


@dataclass(frozen=True)
class Plan:
    """A check before it ran: one study at a time. cost: how many times fewer studies it gets, since it is slow."""

    subject: str
    truth: str
    counted: str
    low: float
    high: float
    study: Callable[[Generator], bool]
    cost: int = 1


def simulate(studies: int, seed: int = 0) -> Iterator[Check]:
    """Return the checks, one by one as they are done, each over `studies` simulated studies (slow ones over fewer)."""
    for number, plan in enumerate(plans()):
        count = max(20, studies // plan.cost)
        generator = np.random.default_rng([seed, number])
        share = sum(plan.study(generator) for _ in range(count)) / count
        yield Check(plan.subject, plan.truth, plan.counted, plan.low, plan.high, share, count)


def plans() -> list[Plan]:
    """Return what is simulated. Bands of error rates begin at 0; those of power say what so many seeds can do."""
    return [
        *_intervals(),
        *_rules(),
        *_images(),
        *_shares(),
        *_families(),
        *_counts(),
        *_trends(),
        *_averages(),
        *_refuted(),
    ]


def _seeds(mean: float, n: int, heavy: bool = False) -> Callable[[Generator], list[float]]:
    def draw(g: Generator) -> list[float]:
        noise = g.standard_t(4, n) / math.sqrt(2) if heavy else g.standard_normal(n)
        return [float(v) for v in mean + SD * noise]

    return draw


def _covers(bounds: tuple[float, float], truth: float) -> bool:
    return bounds[0] <= truth <= bounds[1]


def _intervals() -> list[Plan]:
    found = []
    for n in (3, 6, 10):
        draw = _seeds(1.0, n)
        found.append(Plan(f"t interval, n = {n}", f"difference 1, SD {SD}", "covered", 0.945, 0.955,
                          lambda g, draw=draw: _covers(interval(draw(g)), 1.0)))  # type: ignore[misc]  # fmt: skip
    heavy = _seeds(1.0, 6, heavy=True)
    found.append(Plan("t interval, n = 6", "the same, heavy tails (t of 4)", "covered", 0.94, 0.975,
                      lambda g: _covers(interval(heavy(g)), 1.0)))  # fmt: skip
    none, null = _seeds(1.0, 2), _seeds(0.0, 6)
    found.append(Plan("t interval, n = 2", "any", "published", 0.0, 0.0,
                      lambda g: not math.isnan(interval(none(g))[0])))  # fmt: skip
    found.append(Plan("sign flips, n = 6", "no difference", "p <= 0.05", 0.0, 2 / 2**6,
                      lambda g: permutation_test(null(g)) <= ALPHA))  # fmt: skip
    return found


def _rules() -> list[Plan]:
    found = []
    for mean, low, high in ((0.0, 0.0, 0.025), (1.0, 0.5, 0.65), (2.0, 0.97, 1.0)):
        draw = _seeds(mean, 6)
        found.append(Plan("superior, n = 6", f"difference {mean:g}", "supported", low, high,
                          lambda g, draw=draw: above_p(draw(g), 0.0) <= ALPHA))  # type: ignore[misc]  # fmt: skip
    for mean, low, high in ((1.0, 0.0, 0.025), (3.0, 0.97, 1.0)):
        draw = _seeds(mean, 6)
        found.append(Plan("superior by 1 point, n = 6", f"difference {mean:g}", "supported", low, high,
                          lambda g, draw=draw: above_p(draw(g), 1.0) <= ALPHA))  # type: ignore[misc]  # fmt: skip
    for n, mean, low, high in ((8, -1.0, 0.0, 0.025), (8, 0.0, 0.7, 0.85), (6, 0.0, 0.5, 0.65)):
        draw = _seeds(mean, n)
        found.append(Plan(f"non-inferior by 1 point, n = {n}", f"difference {mean:g}", "supported", low, high,
                          lambda g, draw=draw: above_p(draw(g), -1.0) <= ALPHA))  # type: ignore[misc]  # fmt: skip
    for n, mean, low, high in ((8, 1.0, 0.0, 0.05), (6, 0.0, 0.45, 0.7), (8, 0.0, 0.72, 0.87), (10, 0.0, 0.85, 0.95)):
        draw = _seeds(mean, n)
        found.append(Plan(f"equivalent within 1 point, n = {n}", f"difference {mean:g}", "supported", low, high,
                          lambda g, draw=draw: equivalence_p(draw(g), -1.0, 1.0) <= ALPHA))  # type: ignore[misc]  # fmt: skip
    found.append(Plan("best of 4 equal variants, n = 6", "no difference; chosen on the judging seeds", "supported",
                      0.04, 0.2, lambda g: _best(g, apart=False)))  # fmt: skip
    found.append(Plan("best of 4 equal variants, n = 6", "no difference; chosen on other seeds", "supported",
                      0.0, 0.025, lambda g: _best(g, apart=True)))  # fmt: skip
    return found


def _best(g: Generator, apart: bool) -> bool:
    values, base = g.standard_normal((4, 6)), g.standard_normal(6)
    chosen = g.standard_normal((4, 2)) if apart else values
    best = values[int(np.argmax(chosen.mean(1)))] - base
    return above_p([float(v) for v in best], 0.0) <= ALPHA


def _images() -> list[Plan]:
    """Differences of 0 or 1 (robust accuracy, as shares) of 6 seeds on 400 images, which seeds share."""

    def study(g: Generator) -> Values:
        difficulty = g.normal(0, 0.3, 400)
        return np.asarray(0.1 + g.normal(0, 0.05, (6, 1)) + difficulty + g.normal(0, 0.4, (6, 400)))

    def seeds_only(values: Values) -> tuple[float, float]:
        return interval([float(v) for v in values.mean(1)])

    def two_level(values: Values) -> tuple[float, float]:
        return two_level_interval(values, (0.95,), draws=400)[0]

    def wider(values: Values) -> tuple[float, float]:
        both = seeds_only(values), two_level(values)
        return min(b[0] for b in both), max(b[1] for b in both)

    def images_only(values: Values) -> tuple[float, float]:
        return interval([float(v) for v in values.mean(0)])

    truth = "difference 0.1; seeds SD 0.05; images in common"
    return [
        Plan("images alone (as it was)", truth, "covered", 0.5, 0.8, lambda g: _covers(images_only(study(g)), 0.1)),
        Plan("t over seeds", truth, "covered", 0.85, 0.96, lambda g: _covers(seeds_only(study(g)), 0.1)),
        Plan("two-level bootstrap, n = 6", truth, "covered", 0.86, 0.97,
             lambda g: _covers(two_level(study(g)), 0.1), cost=4),
        Plan("the wider of both (published)", truth, "covered", 0.93, 1.0,
             lambda g: _covers(wider(study(g)), 0.1), cost=4),
    ]  # fmt: skip


def _shares() -> list[Plan]:
    def study(g: Generator, logit: float, variants: int = 10) -> list[list[float]]:
        return [[1 / (1 + math.exp(-v)) for v in logit + 0.06 * g.standard_normal(3)] for _ in range(variants)]

    def covered(g: Generator, logit: float) -> bool:
        first = shares(study(g, logit))[0]
        return _covers((first.low, first.high), 1 / (1 + math.exp(-logit)))

    def wild(g: Generator) -> list[float]:
        return [float(v) for v in g.choice([0.1, 0.8], 3, p=[0.5, 0.5])]

    def leaves(g: Generator, ours: bool) -> bool:
        values = wild(g)
        low, high = (shares([values])[0].low, shares([values])[0].high) if ours else (
            summarise(values).low, summarise(values).high)  # fmt: skip
        return low < 0 or high > 1

    return [
        Plan("logit scale, pooled SD, n = 3", "share 0.80, ten variants", "covered", 0.94, 0.96,
             lambda g: covered(g, math.log(4))),
        Plan("logit scale, pooled SD, n = 3", "share 0.97, ten variants", "covered", 0.94, 0.96,
             lambda g: covered(g, math.log(0.97 / 0.03))),
        Plan("t interval of shares, n = 3 (as it was)", "seeds at 0.1 or 0.8", "leaves [0, 1]", 0.7, 0.8,
             lambda g: leaves(g, ours=False)),
        Plan("logit scale, n = 3", "seeds at 0.1 or 0.8", "leaves [0, 1]", 0.0, 0.0, lambda g: leaves(g, ours=True)),
    ]  # fmt: skip


def _families() -> list[Plan]:
    def p_values(g: Generator, means: tuple[float, ...]) -> list[float]:
        return [above_p(_seeds(mean, 6)(g), 0.0) for mean in means]

    null = (0.0,) * 5
    return [
        Plan("five claims, each by itself", "no difference in any", "one supported", 0.09, 0.15,
             lambda g: min(p_values(g, null)) <= ALPHA),
        Plan("five claims, Holm", "no difference in any", "one supported", 0.0, 0.025,
             lambda g: min(holm(p_values(g, null))) <= ALPHA, cost=8),
        Plan("in all of 5 environments", "4 of 5 differ by 3 points", "supported", 0.0, 0.025,
             lambda g: several_p(p_values(g, (3.0,) * 4 + (0.0,)), 5) <= ALPHA),
        Plan("in 4 of 5 environments", "3 of 5 differ by 3 points", "supported", 0.0, 0.025,
             lambda g: several_p(p_values(g, (3.0,) * 3 + (0.0,) * 2), 4) <= ALPHA),
        Plan("in 4 of 5 environments", "all differ by 3 points", "supported", 0.97, 1.0,
             lambda g: several_p(p_values(g, (3.0,) * 5), 4) <= ALPHA),
    ]  # fmt: skip


def _counts() -> list[Plan]:
    def right(g: Generator) -> bool:
        hard = g.random(1000)
        a, b = ((hard + g.normal(0, 0.2, 1000)) > 0.5 for _ in range(2))
        return mcnemar(a, b).p <= ALPHA

    return [
        *(
            Plan(f"Clopper-Pearson, dead seeds of {n}", f"share {share:g}", "covered", 0.95, 1.0,
                 lambda g, n=n, share=share: _covers(clopper_pearson(int(g.binomial(n, share)), n), share))  # type: ignore[misc]
            for n, share in ((3, 0.5), (6, 0.1), (6, 0.5))
        ),
        Plan("McNemar, 1000 images", "two networks, equally good", "p <= 0.05", 0.0, 0.05, right),
    ]  # fmt: skip


def _trends() -> list[Plan]:
    x = np.log(np.array(GRID))

    def curves(g: Generator, sd: float) -> dict[int, list[float]]:
        rise = 80 - 25 * np.maximum(0.0, math.log(0.8) - x)
        return {seed: [float(v) for v in rise + g.normal(0, sd, len(x))] for seed in range(3)}

    def below(g: Generator, sd: float) -> bool:
        return change_point(curves(g, sd), x.tolist()).at <= math.log(1.25)

    def old(g: Generator, sd: float) -> bool:
        """Return the rule as it was: every p from 1 on must be within 2 points of the noisy best of one run each."""
        one = np.array(curves(g, sd)[0])
        return bool((one[np.array(GRID) >= 1.0] >= one.max() - 2.0).all())

    def monotone(g: Generator, blocks: bool) -> bool:
        walk = np.cumsum(g.normal(0, 1, 800))
        if blocks:
            return abs(mann_kendall(block_means(walk, 40)).tau) >= 0.8
        return mann_kendall(walk).p <= ALPHA

    return [
        Plan("change point, 3 seeds, SD 0.9", "plateau from p = 0.8", "at most 1.25", 0.99, 1.0,
             lambda g: below(g, 0.9), cost=10),
        Plan("change point, 3 seeds, SD 1.5", "plateau from p = 0.8", "at most 1.25", 0.99, 1.0,
             lambda g: below(g, 1.5), cost=10),
        Plan("every p near the noisy best (as it was)", "plateau from p = 0.8", "called good", 0.1, 0.5,
             lambda g: old(g, 0.9), cost=4),
        Plan("Mann-Kendall, 30 values", "independent values", "p <= 0.05", 0.03, 0.055,
             lambda g: mann_kendall(g.standard_normal(30)).p <= ALPHA),
        Plan("Mann-Kendall, 800 epochs", "a random walk", "p <= 0.05", 0.8, 1.0,
             lambda g: monotone(g, blocks=False), cost=4),
        Plan("tau of 20 stretches above 0.8", "a random walk", "called monotone", 0.0, 0.15,
             lambda g: monotone(g, blocks=True), cost=4),
    ]  # fmt: skip


def _averages() -> list[Plan]:
    """The average over four variants' differences to one convolution, or to one each; six seeds."""

    def study(g: Generator, shared: bool) -> Values:
        other = g.normal(0, SD, (1 if shared else 4, 6))
        return np.asarray(1.0 + g.normal(0, SD, (4, 6)) - other)

    def published(values: Values) -> tuple[float, float]:
        ends = [interval([float(v) for v in row]) for row in values]
        return average_interval([dict(enumerate(map(float, row))) for row in values], ends)

    def ends_alone(values: Values) -> tuple[float, float]:
        return average_interval([], [interval([float(v) for v in row]) for row in values])

    def squares(values: Values) -> tuple[float, float]:
        """Return the interval as it was: every environment's error by itself, added in squares."""
        errors = values.var(1, ddof=1) / 6
        freedom = errors.sum() ** 2 / (errors**2 / 5).sum()
        half = float(special.stdtrit(freedom, 0.975)) * math.sqrt(errors.sum()) / 4
        return float(values.mean()) - half, float(values.mean()) + half

    one, each = "difference 1 to one convolution", "difference 1 to a convolution each"
    return [
        Plan("average of 4 variants, errors in squares (as it was)", one, "covered", 0.6, 0.85,
             lambda g: _covers(squares(study(g, shared=True)), 1.0)),
        Plan("average of 4 variants, by seed (published)", one, "covered", 0.945, 0.955,
             lambda g: _covers(published(study(g, shared=True)), 1.0)),
        Plan("average of 4 variants, by seed (published)", each, "covered", 0.945, 0.955,
             lambda g: _covers(published(study(g, shared=False)), 1.0)),
        Plan("average of 4 variants, mean of the ends (images)", one, "covered", 0.95, 1.0,
             lambda g: _covers(ends_alone(study(g, shared=True)), 1.0)),
    ]  # fmt: skip


def _refuted() -> list[Plan]:
    """A claim about all of 7 environments, which one against it refutes: its interval wholly below the margin."""

    def against(g: Generator, difference: float) -> bool:
        draw = _seeds(difference, 6)
        return any(interval(draw(g))[1] < 1.0 for _ in range(7))

    return [
        Plan("against, in 1 of 7 environments", "all differ by 1, the margin itself", "not supported", 0.13, 0.19,
             lambda g: against(g, 1.0)),
        Plan("against, in 1 of 7 environments", "all differ by 2", "not supported", 0.0, 0.025,
             lambda g: against(g, 2.0)),
    ]  # fmt: skip


def table(checks: list[Check]) -> str:
    """Return the checks as a Markdown table."""
    lines = ["| what | truth | counted | wanted | found | studies |", "|---|---|---|---|---|---|"]
    for c in checks:
        wanted = f"{c.low:.3g}" if c.low == c.high else f"{c.low:.3g} to {c.high:.3g}"
        lines.append(f"| {c.subject} | {c.truth} | {c.counted} | {wanted} | {c.share:.3f} | {c.studies} |")
    return "\n".join(lines) + "\n"
