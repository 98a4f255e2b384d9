"""One comparison in one environment: the runs that stand for its cells, what they say, and what they lack."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.claims.cells import Cell, Environment, Group, Runs, points_of, variant_of
from scs_study.analysis.claims.identity import difference
from scs_study.analysis.claims.images import ImageFiles, Subject
from scs_study.analysis.claims.metrics import NotMeasured, is_dead, measured
from scs_study.analysis.claims.rules import NOTHING, Estimate, Finding, estimate, finding, range_of
from scs_study.analysis.claims.schema import METRICS, Best, Claim, ClaimFile, Test
from scs_study.analysis.paper import paper_tables
from scs_study.analysis.statistics.counts import clopper_pearson, mcnemar

Needed = tuple[Cell, tuple[int, ...]]
"""A cell and the seeds of it that have not been run (at the full schedule)."""


@dataclass(frozen=True)
class Part:
    """What one test says in one environment. finding: None where no run says anything; complete: whether the gate is
    passed, so that the finding counts. seeds: those compared. dead: of a and of b, how many of the seeds. runs: names.
    needed: the runs that the gate misses; lacking: what else it does (images, attacks). paper: the source's own
    difference, least and greatest where it has it twice, NaN where it has none.
    """

    test: Test
    environment: Environment
    found: Estimate
    finding: Finding | None
    complete: bool
    epochs: int | None
    device: str
    numerics: str
    seeds: tuple[int, ...]
    dead: tuple[int, int]
    runs: tuple[str, ...]
    needed: tuple[Needed, ...]
    lacking: tuple[str, ...]
    paper: tuple[float, float]


ALL_DEAD = "all networks of both sides are dead: they are alike, and that says nothing of layers"


class Judge:
    """Judges the tests of a file of claims on the runs there are."""

    def __init__(self, file: ClaimFile, runs: Runs) -> None:
        self.file, self.runs, self.images = file, runs, ImageFiles()

    def part(self, claim: Claim, test: Test, place: Environment, fresh: bool = False) -> Part:
        """Return what a test says in an environment; fresh: on the claim's fresh seeds alone."""
        notes: list[str] = []
        chosen: tuple[Needed, ...] = ()
        on: tuple[int, ...] = ()
        unchosen = False
        if test.best is not None:
            place, chosen, on, words = self._with_best(test, test.best, place)
            notes.append(words)
            unchosen = not words
        aside = () if fresh else (*claim.fresh, *on)
        groups = self.runs.groups(place.cells)
        usable = [
            (group, seeds)
            for group in groups
            if (seeds := tuple(s for s in group.seeds(aside) if not fresh or s in claim.fresh))
        ]
        planned = claim.fresh if fresh else _planned(claim, test)
        full = _fullest(groups, place, [group for group, _ in usable])
        needed = (*chosen, *_needed(place, full, planned, claim.n, aside, fresh))
        paper = paper_difference(test, place)
        if not usable or unchosen:
            unmeasured = ("the best variant, measured on the seeds of its choice",) if unchosen and usable else ()
            return Part(test, place, NOTHING, None, False, None, "", "", (), (0, 0), (), needed, unmeasured, paper)
        group, seeds = usable[0]
        try:
            measured_seeds, without = self._measured(test, group, seeds)
            found, said, lacking = self._said(claim, test, place, group, measured_seeds)
            seeds, lacking = measured_seeds, (*lacking, *without)
            dead = self._dead(test, place, group, seeds)
            if said == "yes" and test.rule in ("noninferior", "equivalent") and dead == (len(seeds), len(seeds)):
                said, found = "undecided", dataclasses.replace(found, notes=(*found.notes, ALL_DEAD))
        except ValueError as error:  # NotMeasured, or a damaged file: of this comparison, and no other
            return Part(
                test, place, NOTHING, None, False, group.epochs, group.device, group.numerics, seeds, (0, 0),
                _names(group, seeds), needed, (_without_folders(str(error), group),), paper,
            )  # fmt: skip
        notes += found.notes
        enough = group.epochs == place.full_epochs and len(seeds) >= (len(planned) if fresh else claim.n)
        return Part(
            test=test,
            environment=place,
            found=dataclasses.replace(found, notes=tuple(notes)),
            finding=said,
            complete=not claim.gated or (enough and not lacking and not chosen),
            epochs=group.epochs,
            device=group.device,
            numerics=group.numerics,
            seeds=seeds,
            dead=dead,
            runs=_names(group, seeds),
            needed=() if not claim.gated else needed,
            lacking=lacking,
            paper=paper,
        )

    def _said(
        self, claim: Claim, test: Test, place: Environment, group: Group, seeds: tuple[int, ...]
    ) -> tuple[Estimate, Finding, tuple[str, ...]]:
        if test.rule == "identity":
            return (*_identical(test, group, seeds), ())
        if test.rule == "dead":
            return (*self._all_dead(test, group, seeds), ())
        if test.metric.images:
            return self._of_images(test, place, group, seeds)
        values = [
            sum(
                sign * measured(test.metric, runs[seed], self.file)
                for sign, runs in zip(_signs(place), group.runs, strict=True)
            )
            for seed in seeds
        ]
        found = estimate(test, values, range_of(test))
        return found, finding(test, found), ()

    def _measured(self, test: Test, group: Group, seeds: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """The seeds of which all runs have a number, and a sentence for each run that has none.

        Of a metric of images that is told when they are read. Raises NotMeasured where no seed is left.
        """
        if test.metric.images or test.rule in ("identity", "dead"):
            return seeds, ()
        without: dict[int, str] = {}
        for seed in seeds:
            try:
                for runs in group.runs:
                    measured(test.metric, runs[seed], self.file)
            except NotMeasured as error:
                without[seed] = str(error)
        if len(without) == len(seeds):
            raise NotMeasured(next(iter(without.values())))
        return tuple(seed for seed in seeds if seed not in without), tuple(without.values())

    def _of_images(
        self, test: Test, place: Environment, group: Group, seeds: tuple[int, ...]
    ) -> tuple[Estimate, Finding, tuple[str, ...]]:
        rows = [[runs[seed] for runs in group.runs] for seed in seeds]
        subjects: list[list[Subject]] = [
            [tuple(row[k : k + 2]) for k in range(0, len(row), 2)] if test.metric.pair else [(each,) for each in row]
            for row in rows
        ]
        signs = _signs(place)[:: 2 if test.metric.pair else 1]
        on = self.images.values(test, self.file, subjects)
        differences: NDArray[np.float64] = np.einsum("s,ksi->ki", np.array(signs), on.values)
        if np.isnan(differences).all(1).any():
            raise NotMeasured("on no image all of these runs have a value")
        values = [float(value) for value in np.nanmean(differences, axis=1)]
        notes = list(on.notes)
        if len(seeds) == 1 and test.eps is not None and len(signs) == 2:
            apart = mcnemar(on.values[0, 0] > 0, on.values[0, 1] > 0)
            notes.append(f"of these two networks alone, McNemar's p is {apart.p:.2g}")
        found = estimate(test, values, range_of(test), differences, notes)
        return found, finding(test, found), on.lacking

    def _all_dead(self, test: Test, group: Group, seeds: tuple[int, ...]) -> tuple[Estimate, Finding]:
        flags = [float(is_dead(group.runs[0][seed], self.file)) for seed in seeds]
        dead, n = round(sum(flags)), len(flags)
        low, high = clopper_pearson(dead, n) if n >= 3 else (math.nan, math.nan)
        share = 100 * dead / n
        found = Estimate(
            tuple(100 * flag for flag in flags), share, 100 * low, 100 * high, (math.nan, math.nan), math.nan, math.nan,
            (f"{dead} of {n} seeds dead",),
        )  # fmt: skip
        return found, "yes" if dead == n else "no"

    def _dead(self, test: Test, place: Environment, group: Group, seeds: tuple[int, ...]) -> tuple[int, int]:
        if test.metric.source not in ("history", "saliency", "robustness"):
            return 0, 0
        counts = [sum(is_dead(runs[seed], self.file) for seed in seeds) for runs in group.runs]
        cut = len(place.a)
        return max(counts[:cut], default=0), max(counts[cut:], default=0)

    def _with_best(
        self, test: Test, best: Best, place: Environment
    ) -> tuple[Environment, tuple[Needed, ...], tuple[int, ...], str]:
        """The environment with the best variant of a side in it, the runs that its choice misses, the seeds of the
        choice that judge nothing, and words.

        Below the full schedule the choice is on its own seeds, too, as soon as all candidates have these. No words
        where nothing could be chosen, since no run of the candidates has been measured.
        """
        side = place.a if best.side == "a" else place.b
        by = dataclasses.replace(test, metric=METRICS[best.metric], best=None)
        candidates = [tuple(variant_of(cell, point) for cell in side) for point in points_of(best.over)]
        flat = [cells[0] for cells in candidates]
        needed: tuple[Needed, ...] = tuple((cell, best.seeds) for cell in flat)
        groups = self.runs.groups(flat)
        on, words, values = (
            best.seeds,
            f"the best {best.side} was chosen on seeds {', '.join(map(str, best.seeds))}",
            {},
        )
        own = [group for group in groups if set(best.seeds) <= set(group.seeds())]
        if own:
            values = self._means(by, own[0], best.seeds)
            if own[0].epochs == place.full_epochs:
                needed = ()
            else:
                words += f" at {own[0].epochs} of {place.full_epochs} epochs"
        usable = [group for group in groups if group.seeds()]
        if needed and not values and usable:
            values, on = self._means(by, usable[0], usable[0].seeds()), ()
            words = f"the best {best.side} was chosen on the seeds that judge it, which flatters it"
        if not values:
            return place, needed, () if needed else best.seeds, ""
        winner = max(values, key=lambda index: (values[index], -index))
        cells = candidates[winner]
        a, b = (cells, place.b) if best.side == "a" else (place.a, cells)
        return dataclasses.replace(place, a=a, b=b), needed, on, f"{words}: {flat[winner].words}"

    def _means(self, by: Test, group: Group, seeds: Sequence[int]) -> dict[int, float]:
        """The mean of a metric by number of the candidate; {} where it has not been measured of all of them."""
        try:
            if by.metric.images:
                on = self.images.values(by, self.file, [[(runs[seed],) for runs in group.runs] for seed in seeds])
                return dict(enumerate(np.nanmean(on.values, axis=(0, 2)).tolist()))
            return {
                index: float(np.mean([measured(by.metric, runs[seed], self.file) for seed in seeds]))
                for index, runs in enumerate(group.runs)
            }
        except ValueError:
            return {}


def paper_difference(test: Test, place: Environment) -> tuple[float, float]:
    """Return the paper's own a - b in points: (least, greatest) over those of its tables that have all cells."""
    asked = {key for cell in place.cells for key in cell.settings}
    other_recipe = any(key.startswith(("train.", "layer.")) and key != "train.epochs" for key in asked)
    if test.metric.name != "accuracy" or not place.b or place.choice is not None or other_recipe:
        return math.nan, math.nan
    keys = [_paper_key(cell) for cell in place.cells]
    found = []
    for rows in paper_tables().values():
        by_key = {row.key: row.accuracy for row in rows}
        if all(key in by_key for key in keys):
            found.append(100 * sum(s * by_key[key] for s, key in zip(_signs(place), keys, strict=True)))
    return (min(found), max(found)) if found else (math.nan, math.nan)


def _paper_key(cell: Cell) -> tuple[str, str, str, str, str, int]:
    c = cell.config
    layer = c.layer.name if c.layer.p is None else "fixed p"
    size = c.data.image_size if isinstance(c.data.image_size, int) else 0  # the paper's images are square
    return c.arch, layer, c.activation, c.pooling, c.norm, size


def _identical(test: Test, group: Group, seeds: tuple[int, ...]) -> tuple[Estimate, Finding]:
    words = {seed: difference(group.runs[0][seed], group.runs[1][seed]) for seed in seeds}
    apart = {seed: text for seed, text in words.items() if text}
    notes = [f"seed {seed}: {text}" for seed, text in apart.items()] or ["bit by bit the same"]
    share = len(apart) / len(seeds)
    values = tuple(float(seed in apart) for seed in seeds)
    found = Estimate(values, share, math.nan, math.nan, (math.nan, math.nan), math.nan, math.nan, tuple(notes))
    return found, "no" if apart else "yes"


def _signs(place: Environment) -> list[float]:
    return [1.0] * len(place.a) + [-1.0] * len(place.b)


def _planned(claim: Claim, test: Test) -> tuple[int, ...]:
    aside = {*claim.fresh, *(test.best.seeds if test.best else ())}
    return tuple(seed for seed in range(claim.n + len(aside)) if seed not in aside)[: claim.n]


def _fullest(groups: Sequence[Group], place: Environment, usable: Sequence[Group]) -> Group | None:
    """The group of the full schedule that is compared, or else the one with the most runs, whose seeds may differ."""
    full = [group for group in groups if group.epochs == place.full_epochs]
    compared = [group for group in full if group in usable]
    return compared[0] if compared else max(full, key=lambda group: sum(map(len, group.runs)), default=None)


def _needed(
    place: Environment, full: Group | None, planned: Sequence[int], n: int, aside: Sequence[int], fresh: bool
) -> tuple[Needed, ...]:
    known = set() if full is None else set(full.seeds(aside))
    if known >= set(planned) if fresh else len(known) >= n:
        return ()
    found = []
    for index, cell in enumerate(place.cells):
        there = set(full.runs[index]) if full is not None else set()
        if missing := tuple(seed for seed in planned if seed not in there):
            found.append((cell, missing))
    return tuple(found)


def _without_folders(sentence: str, group: Group) -> str:
    """The sentence without the folders of this machine: it is published."""
    for row in (row for runs in group.runs for row in runs.values()):
        sentence = sentence.replace(f"{row['folder'].parent}/", "")
    return sentence


def _names(group: Group, seeds: Sequence[int]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(runs[seed]["run"] for runs in group.runs for seed in seeds))
