"""The verdicts of a page: of each claim badge, estimate, forest plots, the runs it stands on and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scs_study.analysis.claims.decide import NO_RUNS, Verdict
from scs_study.analysis.claims.missing import commands, missing, usual_parts
from scs_study.analysis.claims.table import estimate_words, p_words, rule_words
from scs_study.analysis.statistics.summary import FEWEST
from scs_study.report.forest import Plot, forests


@dataclass(frozen=True)
class Card:
    """A claim on the page. kind: of its badge (yes, no, undecided, leaning, depends, none). facts: (name, value).

    rules: each with the reason for its margin.
    """

    id: int
    sentence: str
    where: str
    verdict: str
    kind: str
    estimate: str
    over: str
    facts: tuple[tuple[str, str], ...]
    rules: tuple[tuple[str, str], ...]
    plots: tuple[Plot, ...]
    notes: tuple[str, ...]
    missing: str
    commands: tuple[str, ...]
    runs: tuple[str, ...]


def cards(verdicts: Sequence[Verdict]) -> tuple[list[Card], list[Card], list[Card]]:
    """Return the claims that the runs say something of, decided ones first; that the benchmark does; the others."""
    every = [(_card(verdict), bool(verdict.ratios)) for verdict in verdicts]
    known = [card for card, timed in every if card.kind != "none" and not timed]
    timed = [card for card, of_benchmark in every if card.kind != "none" and of_benchmark]
    return sorted(known, key=lambda card: card.kind == "leaning"), timed, [c for c, _ in every if c.kind == "none"]


def kind_of(verdict: Verdict) -> str:
    """Return the kind of a verdict's badge."""
    word = verdict.word
    if word == NO_RUNS:
        return "none"
    if word.startswith("depends"):
        return "depends"
    if word.startswith("preliminary"):
        return "leaning"
    return {"supported": "yes", "not supported": "no"}.get(word, "undecided")


def _card(verdict: Verdict) -> Card:
    claim = verdict.claim
    test = claim.tests[0] if claim.tests else None
    known = [part for part in verdict.parts if part.finding is not None]
    epochs = sorted({part.epochs for part in known if part.epochs is not None})
    seeds = min((len(part.seeds) for part in known), default=0)
    facts = [
        ("seeds", f"{seeds}{' (no interval below three)' if seeds < FEWEST else ''}" if known else ""),
        ("p", p_words(verdict.p)),
        ("p after Holm", p_words(verdict.p_holm)),
        ("epochs", ", ".join(map(str, epochs))),
        ("the paper", claim.paper),
        ("seeds asked for", str(claim.n) if claim.gated and not verdict.decided else ""),
    ]
    estimate = estimate_words(verdict.mean, verdict.low, verdict.high, test)
    return Card(
        id=claim.id,
        sentence=claim.sentence,
        where=f"{claim.source}, section {claim.section}" if claim.section else claim.source,
        verdict=verdict.word,
        kind=kind_of(verdict),
        estimate=estimate,
        over=_over(verdict) if estimate else "",
        facts=tuple((name, value) for name, value in facts if value),
        rules=tuple(dict.fromkeys((rule_words(each), each.why) for each in claim.tests)),
        plots=tuple(forests(verdict)),
        notes=verdict.notes,
        missing=missing(verdict),
        commands=tuple(commands(verdict)),
        runs=tuple(dict.fromkeys(name for part in known for name in part.runs)),
    )


def _over(verdict: Verdict) -> str:
    """What a claim's estimate is a mean of, in words."""
    if len(verdict.ratios) > 1:
        return f"geometric mean of {len(verdict.ratios)} pairs, with the lowest and the highest quartile of any"
    count = sum(part.test == verdict.claim.tests[0] for part in usual_parts(verdict) if part.finding is not None)
    first = " of the first plot" if len(verdict.claim.tests) > 1 else ""
    return f"mean of the {count} comparisons{first}" if count > 1 else ""
