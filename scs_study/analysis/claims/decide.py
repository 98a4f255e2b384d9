"""The verdict of each claim: its environments together, the gate, Holm within its family, and what it depends on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from scs_study.analysis.claims.average import average
from scs_study.analysis.claims.cells import Environment, Runs, choices_of, environments
from scs_study.analysis.claims.judge import Judge, Part
from scs_study.analysis.claims.over import merged
from scs_study.analysis.claims.rules import Finding, p_together, together
from scs_study.analysis.claims.schema import Choice, Claim, ClaimFile, Test
from scs_study.analysis.claims.speed import BATCHES, Ratio, machines, middle, ratios
from scs_study.analysis.claims.spread import spread
from scs_study.analysis.statistics.hypotheses import ALPHA, holm
from scs_study.analysis.variants import Record

WORDS: dict[Finding, str] = {"yes": "supported", "no": "not supported", "undecided": "undecided"}
LEANS: dict[Finding, str] = {
    "yes": "preliminary: leans yes",
    "no": "preliminary: leans no",
    "undecided": "preliminary: undecided",
}
NO_RUNS = "no runs yet"


@dataclass(frozen=True)
class Verdict:
    """A claim and what the runs say of it. word: as tables print it. decided: whether it passed the gate.

    mean, low, high, n: the first test's average over its environments (n: the fewest seeds of any). p: that the claim
    holds in as many environments as it says; p_holm: after Holm within its family, NaN without one. parts: every
    comparison, those of the choices too; ratios: of a claim about speed. notes: sentences.
    """

    claim: Claim
    word: str
    decided: bool
    finding: Finding | None
    mean: float
    low: float
    high: float
    n: int
    p: float
    p_holm: float
    parts: tuple[Part, ...]
    ratios: tuple[Ratio, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """A claim's findings before Holm: final (None: the gate does not let it be said), now (None: nothing is known)."""

    final: Finding | None
    now: Finding | None
    p: float
    parts: tuple[Part, ...]
    notes: tuple[str, ...]


def decide(file: ClaimFile, runs: Runs, benchmark: pd.DataFrame) -> list[Verdict]:
    """Return the verdict of every claim of a file, in its order.

    benchmark: rows of speed.read_benchmark. Raises ValueError for a cell that cannot be.
    """
    judge = Judge(file, runs)
    by_name = {row["run"]: row for row in runs.records}
    judged: dict[int, Judged] = {}
    for claim in file.claims:
        if claim.tests and claim.tests[0].metric.source != "bench":
            judged[claim.id] = _judged(claim, judge, by_name)
    adjusted = _holm(file, judged)
    verdicts = []
    for claim in file.claims:
        if not claim.tests:
            verdicts.append(_nothing(claim, (f"awaits {claim.awaits}",)))
        elif claim.tests[0].metric.source == "bench":
            verdicts.append(_speed(claim, benchmark))
        else:
            alone = judged[claim.id]
            verdicts.append(_verdict(claim, alone, adjusted.get(claim.id, math.nan), judge, by_name))
    return verdicts


def _judged(claim: Claim, judge: Judge, by_name: Mapping[str, Record], changed: Choice | None = None) -> Judged:
    parts: list[Part] = []
    finals: list[Finding | None] = []
    nows: list[Finding | None] = []
    p_values: list[float] = []
    notes: list[str] = []
    for test in claim.tests:
        places = environments(judge.file, test, changed)
        if not places:  # the choice changes nothing of this test
            continue
        found = _parts(claim, test, places, judge, by_name)
        if claim.overall == "some" and changed is None:
            found, words = _again(claim, test, found, judge)
            notes += words
        parts += found
        finals.append(together(claim.overall, [part.finding if part.complete else None for part in found]))
        known = [part.finding for part in found if part.finding is not None]
        nows.append(together(claim.overall, known) if known else None)
        p_values.append(p_together(claim.overall, [part.found.p for part in found]))
    final = together("always", finals) if finals else None
    known_tests = [each for each in nows if each is not None]
    now = together("always", known_tests) if known_tests else None
    if now == "yes" and len(known_tests) < len(nows):
        now = "undecided"  # a test of the claim has nothing to stand on yet
    p = math.nan if any(math.isnan(each) for each in p_values) or not p_values else max(p_values)
    return Judged(final, now, p, tuple(parts), tuple(notes))


def _parts(
    claim: Claim, test: Test, places: Sequence[Environment], judge: Judge, by_name: Mapping[str, Record]
) -> list[Part]:
    if test.rule not in ("slope", "plateau"):
        return [judge.part(claim, test, place) for place in places]
    plain = dataclasses.replace(test, rule="superior")
    if test.rule == "slope":
        parts = [judge.part(claim, plain, place) for place in places]
        known = sum(part.finding is not None for part in parts)
        of = "" if known in (0, len(places)) else f"{known} of "
        return [merged(parts, test, f"slope over {of}{len(places)} sizes", by_name)]
    many = len(places) // len(test.where)
    found = []
    for k in range(len(test.where)):
        parts = [judge.part(claim, plain, place) for place in places[k * many : (k + 1) * many]]
        found.append(merged(parts, test, f"{places[k * many].a[0].config.arch}, {many} values of p", by_name))
    return found


def _again(claim: Claim, test: Test, parts: Sequence[Part], judge: Judge) -> tuple[list[Part], list[str]]:
    """The parts of a claim about some environments: after Holm over them, and tried again on the fresh seeds."""
    adjusted = holm(part.found.p for part in parts)
    result, notes = [], []
    for part, p in zip(parts, adjusted, strict=True):
        if not (part.complete and part.finding == "yes"):
            result.append(part)
        elif not p <= ALPHA:
            notes.append(f"{part.environment.words}: not after Holm over the environments")
            result.append(dataclasses.replace(part, finding="undecided"))
        else:
            again = judge.part(claim, test, part.environment, fresh=True)
            if again.complete and again.finding == "yes":
                notes.append(f"{part.environment.words}: again on the fresh seeds {', '.join(map(str, again.seeds))}")
            else:
                notes.append(f"{part.environment.words}: not tried again on the fresh seeds" if not again.complete
                             else f"{part.environment.words}: not again on the fresh seeds")  # fmt: skip
                part = dataclasses.replace(
                    part,
                    finding=part.finding if not again.complete else "undecided",
                    complete=again.complete,
                    needed=(*part.needed, *again.needed),
                )
            result.append(part)
    return result, notes


def _holm(file: ClaimFile, judged: dict[int, Judged]) -> dict[int, float]:
    """The adjusted p of each claim that is in a family. Those without a p yet count as tests."""
    found: dict[int, float] = {}
    for family in file.families:
        members = [claim.id for claim in file.claims if claim.family == family and claim.id in judged]
        found |= zip(members, holm(judged[number].p for number in members), strict=True)
    return found


def _verdict(claim: Claim, alone: Judged, p_holm: float, judge: Judge, by_name: Mapping[str, Record]) -> Verdict:
    names = [test.metric.name for test in claim.tests]
    measures = [f"{name}, test {k}" if names.count(name) > 1 else name for k, name in enumerate(names, start=1)]
    where = spread(
        [
            (measures[claim.tests.index(part.test)], part.environment.words, part.finding)
            for part in alone.parts
            if part.finding is not None
        ]
    )
    final, notes = alone.final, [where, *alone.notes] if where else list(alone.notes)
    if final == "yes" and not math.isnan(p_holm) and p_holm > ALPHA:
        final = "undecided"
        notes.append(f"supported by its own intervals, but not after Holm in family {claim.family} (p = {p_holm:.3f})")
    parts = list(alone.parts)
    if alone.now is None:
        word = NO_RUNS
        others: list[str] = []
    else:
        word = LEANS[alone.now] if final is None else WORDS[final]
        others = []
        for name, changed in choices_of(judge.file, claim):
            other = _judged(claim, judge, by_name, changed)
            parts += other.parts
            if not other.parts:
                continue
            if final in ("yes", "no") and other.final in ("yes", "no") and other.final != final:
                others.append(name)
                notes.append(f"with {changed.name}: {WORDS[other.final]}")
            elif other.now is not None and {other.now, alone.now} == {"yes", "no"}:
                notes.append(f"with {changed.name} it leans the other way")
        if others:
            word = f"depends on {' and '.join(dict.fromkeys(others))}"
    usual = [part for part in alone.parts if part.test is claim.tests[0] or part.test == claim.tests[0]]
    mean, low, high = average([part for part in usual if part.finding is not None])
    n = min((len(part.seeds) for part in usual if part.finding is not None), default=0)
    return Verdict(
        claim, word, final is not None or bool(others), alone.now if final is None else final, mean, low, high, n,
        alone.p, p_holm, tuple(parts), (), tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _nothing(claim: Claim, notes: tuple[str, ...]) -> Verdict:
    none = math.nan
    return Verdict(claim, NO_RUNS, False, None, none, none, none, 0, none, none, (), (), notes)


def _speed(claim: Claim, benchmark: pd.DataFrame) -> Verdict:
    """The verdict of a claim about speed: by device and engine, and where these disagree it depends on them."""
    found = [(test, ratio) for test in claim.tests for ratio in ratios(test, benchmark)]
    if not found:
        return _nothing(claim, ("no benchmark has its rows",))
    every = [ratio for _, ratio in found]
    findings: dict[tuple[str, str], Finding] = {}
    where: dict[tuple[str, str], str] = {}
    incomplete = []
    for machine in machines(every):
        own = [(test, ratio) for test, ratio in found if (ratio.device, ratio.engine) == machine]
        if len(own) == sum(len(test.where) for test in claim.tests):
            places = [(f"{ratio.a} / {ratio.b}", ratio.place, ratio.finding(test.delta)) for test, ratio in own]
            of_tests = [
                together(claim.overall, [ratio.finding(test.delta) for each, ratio in own if each is test])
                for test in claim.tests
            ]
            findings[machine] = together("always", of_tests) or "undecided"
            where[machine] = spread(places)
        else:
            incomplete.append(machine)
    if not findings:
        return _nothing(claim, ("no machine was measured in all of its cells",))
    said = set(findings.values())
    notes = [
        f"{', '.join(machine)}: {WORDS[each]}" + (f" ({where[machine]})" if where[machine] else "")
        for machine, each in findings.items()
    ]
    notes += [f"{device}, {engine}: measured in part, so left out" for device, engine in incomplete]
    if any(len(each.batches) < BATCHES for each in every):
        sizes = sorted({size for each in every for size in each.batches})
        notes.append(f"measured with batches of {', '.join(map(str, sizes))} alone")
    judged = [each for each in every if (each.device, each.engine) in findings]
    mean, low, high = middle(judged)
    if {"yes", "no"} <= said:
        parts = [len({m[k] for m in findings}) > 1 for k in (0, 1)]
        word = "depends on " + " and ".join(
            w for w, varies in zip(("the device", "the engine"), parts, strict=True) if varies
        )
        finding: Finding = "undecided"
    else:
        finding = said.pop() if len(said) == 1 else "undecided"
        word = WORDS[finding]
    return Verdict(
        claim, word, True, finding, mean, low, high, len(judged), math.nan, math.nan, (), tuple(judged), tuple(notes)
    )
