"""A claim as typed values: what is compared where, by which rule, and when that is enough.

Everything is checked when it is read, so a wrong entry is refused in one sentence before anything is judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scs_study.config.schema import choice, whole

OVERALL = ("always", "mostly", "some")
"""How many environments a claim speaks of: all; at least MOSTLY of them and none against; at least one."""
MOSTLY = 0.8
RULES = {
    "superior": "the interval of a - b is above 0",
    "superior_by": "the interval of a - b is above delta",
    "noninferior": "the interval of a - b is above -delta",
    "equivalent": "the 90 % interval of a - b is inside bounds (two one-sided tests), +-delta unless said",
    "at_least": "the interval of a - b is above bound",
    "at_most": "the interval of a - b is below bound",
    "identity": "a and b agree bit by bit",
    "dead": "every seed of a is dead",
    "slope": "the slope of a - b on the logarithm of the number of parameters is below 0",
    "plateau": "over a grid of p, the change point is at most bound, and from there on no p falls short by delta",
}
NEEDS_BOUND = ("at_least", "at_most", "plateau")
NEEDS_DELTA = ("superior_by", "noninferior", "plateau")
UNPAIRED = ("dead", "plateau")
"""Rules that look at a alone."""
COMPOSED = ("arch", "layer", "activation", "pooling", "norm", "data", "init", "train")
"""The config groups that a cell names; anything else with a dot in it is a setting (layer.p)."""
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """What is measured of a run, in the unit that delta and tables use.

    source: the file of a run, or the analysis, that it comes from ("history", "steps", "layers", "saliency",
    "robustness", "files", "bench"). lowest, highest: what a value can be. images: measured image by image.
    pair: of two runs together.
    """

    name: str
    title: str
    unit: str
    source: str
    lowest: float
    highest: float
    images: bool = False
    pair: bool = False


_INFINITE = math.inf
METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "test accuracy, mean of the last five epochs", "%", "history", 0, 100),
        Metric("epochs_to_99", "epochs to 99 % of the final accuracy", "% of the schedule", "history", 0, 100),
        Metric("log_growth", "log of end / start of the weight norms", "", "steps", -_INFINITE, _INFINITE),
        Metric("log_norm", "log of the weight norms at the end", "", "steps", -_INFINITE, _INFINITE),
        Metric("norm_tau", "Kendall's tau of 50-step means of the weight norms", "", "steps", -1, 1),
        Metric("p_monotone", "kernels whose p goes one way", "%", "layers", 0, 100),
        Metric("p_range", "range of a kernel's p over the epochs", "", "layers", 0, _INFINITE),
        Metric("gini", "Gini index of the saliency maps", "", "saliency", 0, 1, images=True),
        Metric("insertion", "insertion curve beyond a random order", "", "saliency", -1, 1, images=True),
        Metric("map_similarity", "rank correlation of maps", "", "saliency", -1, 1, images=True, pair=True),
        Metric("pgd_accuracy", "accuracy under PGD", "%", "robustness", 0, 100, images=True),
        Metric("worst_accuracy", "accuracy under the worst attack", "%", "robustness", 0, 100, images=True),
        Metric("kept", "right answers kept, mean over PGD's radii", "%", "robustness", 0, 100, images=True),
        Metric("bits", "everything a run recorded", "", "files", 0, 1),
        Metric("train_time", "time of a training step", "x", "bench", 0, _INFINITE),
        Metric("eval_time", "time of an evaluation step", "x", "bench", 0, _INFINITE),
    )
}


@dataclass(frozen=True)
class Margin:
    """The difference that matters in a measure, in its unit, and why that one: a source, or what it was measured by."""

    delta: float
    why: str


@dataclass(frozen=True)
class Best:
    """The variant that is best on seeds set aside for choosing, and judged on all others.

    side: "a" or "b". over: the axes of the variants to choose from. seeds: those of the choice. metric: by which.
    """

    side: str
    over: Mapping[str, Sequence[Any]]
    seeds: tuple[int, ...]
    metric: str


@dataclass(frozen=True)
class Test:
    """One comparison of a claim, in every environment of `where` x `across`.

    a, b: cells; the estimate is the sum of a less the sum of b, so four cells make an interaction, and b may be empty.
    where: settings of both sides, an environment each. across: further axes of both sides, or of one (a.pooling).
    set: settings of all cells. epochs: the full schedule, None for the paper's. eps: of an attack, in 255ths.
    bench: rows of the benchmark for each side (architecture and variant), where the metric comes from there.
    why: where its delta, bounds or bound come from.
    """

    __test__ = False  # not pytest's

    metric: Metric
    rule: str
    delta: float
    bounds: tuple[float, float]
    bound: float
    where: tuple[Settings, ...]
    across: Mapping[str, Sequence[Any]]
    a: tuple[Settings, ...]
    b: tuple[Settings, ...]
    set: Settings
    epochs: int | None
    best: Best | None
    eps: float | None
    bench: Mapping[str, str]
    why: str = ""


@dataclass(frozen=True)
class Choice:
    """A choice that the source leaves open: in `settings` what is set instead, for cells that have such a setting."""

    name: str
    settings: Settings


@dataclass(frozen=True)
class Claim:
    """A sentence of a source and the rule that decides it, written down before its runs.

    id: a number. section: of the source. sentence: in our words. paper: the size that the source gives, in words.
    overall: OVERALL. n: seeds a cell. tests: all must hold. family: of Holm's correction, "" for none. controls: what
    else must be looked at. choices: names of the choices it must be robust to. gated: false where no schedule holds
    it back. fresh: seeds on which what holds "in certain environments" must hold again. awaits: what the project
    cannot build yet; then there are no tests. command: what produces the runs, where cells cannot say it.
    """

    id: int
    name: str
    source: str
    section: str
    sentence: str
    paper: str
    overall: str
    n: int
    tests: tuple[Test, ...]
    family: str
    controls: tuple[str, ...]
    choices: tuple[str, ...]
    gated: bool
    fresh: tuple[int, ...]
    awaits: str
    command: str

    def __post_init__(self) -> None:
        where = f"claim {self.id}"
        whole(f"{where}: n", self.n, 1)
        choice(f"{where}: overall", self.overall, OVERALL)
        if not self.tests and not self.awaits:
            raise ValueError(f"{where}: it has no tests; say what it awaits if the project cannot build its cells yet")
        if self.overall == "some" and not self.fresh:
            raise ValueError(f"{where}: overall=some needs fresh seeds, on which the environment found must hold again")


@dataclass(frozen=True)
class ClaimFile:
    """The claims of a source with what they share.

    chance: accuracy of a dead network, in %; dead_margin: how near to it one counts as dead. margins: by measure,
    unless a test has its own. images: test images that a claim about maps or attacks needs. attacks: least budgets by
    attack for a worst case: steps, or queries, of all its restarts together.
    """

    title: str
    base: Settings
    chance: float
    dead_margin: Margin
    margins: Mapping[str, Margin]
    images: int
    attacks: Mapping[str, int]
    choices: Mapping[str, tuple[Choice, ...]]
    families: Mapping[str, str]
    claims: tuple[Claim, ...] = field(default=())
