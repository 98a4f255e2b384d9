"""Where a claim holds and where it does not: what one verdict over several environments and measures leaves open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from scs_study.analysis.claims.rules import Finding

NAMED = 4
"""Environments that a sentence names; of more it says how many."""
ORDER: tuple[Finding, ...] = ("yes", "no", "undecided")
Place = tuple[str, str, Finding]
"""A comparison: its measure, its environment, its finding."""


def spread(found: Sequence[Place]) -> str:
    """Return in which environments each measure says what, "" where all comparisons say the same."""
    if len({finding for _, _, finding in found}) < 2:
        return ""
    measures = list(dict.fromkeys(measure for measure, _, _ in found))
    words = []
    for measure in measures:
        own = [(place, finding) for name, place, finding in found if name == measure]
        said = [word for finding in ORDER if (word := _where(finding, own))]
        words.append((f"{measure}: " if len(measures) > 1 else "") + ", ".join(said))
    return "; ".join(words)


def counts(findings: Sequence[Finding]) -> str:
    """Return how many comparisons have which finding: "3 yes, 4 no"."""
    number = Counter(findings)
    return ", ".join(f"{number[finding]} {finding}" for finding in ORDER if number[finding])


def _where(finding: Finding, own: Sequence[tuple[str, Finding]]) -> str:
    places = [place for place, said in own if said == finding]
    if not places:
        return ""
    if len(own) == 1:
        return finding
    named = list(dict.fromkeys(places))
    where = f"{len(places)} of {len(own)}" if len(named) > NAMED else f"{len(places)} ({', '.join(named)})"
    return f"{finding} in {where}"
