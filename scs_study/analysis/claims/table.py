"""The verdicts as tables: a DataFrame for programs, CSV with more digits, Markdown for readers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scs_study.analysis.claims.decide import Verdict
from scs_study.analysis.claims.missing import commands, missing
from scs_study.analysis.claims.schema import RULES, Test
from scs_study.analysis.statistics.summary import FEWEST
from scs_study.analysis.table_writer import write_table

NAME, PARTS = "claims", "claims-comparisons"


def verdict_frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return one row per claim: what it says, its verdict, what that stands on, what is missing and how to get it.

    estimate, low, high are in `unit`, of the first test, averaged over its environments; NaN where there is none.
    runs: names, separated by spaces. command: a line each.
    """
    rows = []
    for verdict in verdicts:
        claim = verdict.claim
        metric = claim.tests[0].metric if claim.tests else None
        runs = dict.fromkeys(name for part in verdict.parts for name in part.runs if part.finding is not None)
        rows.append(
            {
                "id": claim.id,
                "name": claim.name,
                "source": claim.source,
                "section": claim.section,
                "claim": claim.sentence,
                "verdict": verdict.word,
                "decided": verdict.decided,
                "metric": metric.title if metric else "",
                "unit": unit_of(claim.tests[0]) if metric else "",
                "estimate": verdict.mean,
                "low": verdict.low,
                "high": verdict.high,
                "p": verdict.p,
                "p_holm": verdict.p_holm,
                "n": verdict.n,
                "paper": claim.paper,
                "rule": "; ".join(dict.fromkeys(rule_words(test) for test in claim.tests)),
                "margins": "; ".join(dict.fromkeys(test.why for test in claim.tests if test.why)),
                "overall": claim.overall,
                "family": claim.family,
                "controls": "; ".join(claim.controls),
                "notes": "; ".join(verdict.notes),
                "missing": missing(verdict),
                "command": "\n".join(commands(verdict)),
                "runs": " ".join(runs),
            }
        )
    return pd.DataFrame(rows)


def comparison_frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return one row per comparison: a test of a claim in one environment, those of the open choices included.

    paper_low, paper_high: the source's own a - b. dead_a, dead_b: seeds at chance, which are in the estimate at chance.
    """
    rows = []
    for verdict in verdicts:
        for part in verdict.parts:
            place, found = part.environment, part.found
            rows.append(
                {
                    "id": verdict.claim.id,
                    "test": 1 + verdict.claim.tests.index(part.test),
                    "metric": part.test.metric.name,
                    "rule": part.test.rule,
                    "environment": place.words,
                    "choice": place.choice.name if place.choice else "",
                    "a": " + ".join(cell.words for cell in place.a),
                    "b": " + ".join(cell.words for cell in place.b),
                    "finding": part.finding or "",
                    "complete": part.complete,
                    "estimate": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "p": found.p,
                    "sign_flip_p": found.flip_p,
                    "n": found.n,
                    "seeds": " ".join(map(str, part.seeds)),
                    "epochs": part.epochs,
                    "device": part.device,
                    "numerics": part.numerics,
                    "dead_a": part.dead[0],
                    "dead_b": part.dead[1],
                    "paper_low": part.paper[0],
                    "paper_high": part.paper[1],
                    "notes": "; ".join(found.notes),
                    "lacking": "; ".join(part.lacking),
                    "runs": " ".join(part.runs),
                }
            )
        benches = [dict(test.bench) for test in verdict.claim.tests]
        rows += [
            {
                "id": verdict.claim.id,
                "test": 1 + benches.index({"a": each.a, "b": each.b}),
                "metric": verdict.claim.tests[0].metric.name,
                "rule": "superior",
                "environment": f"{each.place}, {each.engine}",
                "a": each.a,
                "b": each.b,
                "finding": each.finding(verdict.claim.tests[0].delta),
                "complete": True,
                "estimate": each.ratio,
                "low": each.low,
                "high": each.high,
                "device": each.device,
                "notes": f"batch {each.batches[-1]}; the band is of quartiles",
            }
            for each in verdict.ratios
        ]
    return pd.DataFrame(rows)


def write_claims(verdicts: Sequence[Verdict], folder: Path, title: str) -> tuple[Path, ...]:
    """Return the paths of the tables of verdicts and of comparisons, Markdown and CSV each, written to `folder`."""
    frame, parts = verdict_frame(verdicts), comparison_frame(verdicts)
    heads = ["", "claim", "verdict", "estimate [95 % interval]", "p", "n", "source's own", "what is missing"]
    rows: list[list[object]] = [
        [
            v.claim.id,
            f"{v.claim.sentence} ({v.claim.source} {v.claim.section})",
            v.word,
            estimate_words(v.mean, v.low, v.high, v.claim.tests[0] if v.claim.tests else None),
            p_words(v.p),
            v.n or "",
            v.claim.paper,
            "; ".join(text for text in ("; ".join(v.notes), missing(v)) if text),
        ]
        for v in verdicts
    ]
    caption = (
        f"{title}: {tally(verdicts)}. Estimates are of a claim's first measure, averaged over its environments; an "
        f"interval needs three seeds. Preliminary: below the full schedule or the number of seeds that the rule asks "
        f"for. Rules, cells and controls: results/paper/claims.yaml; how they are applied: docs/claims.md."
    )
    written = write_table(folder, NAME, caption, (heads, rows), (list(map(str, frame)), _values(frame)))
    heads = ["", "measure", "environment", "a", "b", "a - b [95 % interval]", "p", "sign flips", "n", "epochs",
             "dead a/b", "source's own", "finding"]  # fmt: skip
    rows = [
        [
            v.claim.id,
            p.test.metric.name,
            p.environment.words + (f", {p.environment.choice.name}" if p.environment.choice else ""),
            " + ".join(cell.words for cell in p.environment.a),
            " + ".join(cell.words for cell in p.environment.b),
            estimate_words(p.found.mean, p.found.low, p.found.high, p.test),
            p_words(p.found.p),
            p_words(p.found.flip_p) if p.found.n >= FEWEST else "",
            p.found.n,
            p.epochs,
            f"{p.dead[0]}/{p.dead[1]}" if any(p.dead) else "",
            _range(p.paper),
            (p.finding or "") + ("" if p.complete else " (preliminary)"),
        ]
        for v in verdicts
        for p in v.parts
        if p.finding is not None
    ]
    caption = f"{title}: every comparison behind the verdicts that has runs; dead seeds are in it at chance."
    return (*written, *write_table(folder, PARTS, caption, (heads, rows), (list(map(str, parts)), _values(parts))))


def tally(verdicts: Sequence[Verdict]) -> str:
    """Return how many claims have which verdict, in words."""
    counts = Counter("depends on a choice" if v.word.startswith("depends") else v.word for v in verdicts)
    return ", ".join(f"{count} {word}" for word, count in counts.most_common())


def unit_of(test: Test) -> str:
    """Return the unit of a test's estimate: the difference of two percentages is in points; a plateau is a p."""
    if test.rule == "dead":
        return "% of the runs are dead"
    if test.rule == "plateau":
        return "p"
    unit = test.metric.unit
    return unit.replace("%", "points", 1) if unit.startswith("%") and test.b else unit


def estimate_words(mean: float, low: float, high: float, test: Test | None) -> str:
    """Return "+1.2 points [0.3, 2.1]", without the brackets where there is no interval, "" without a number.

    An interval that a digit more would show to have a width has up to two more: "99.31 % [99.27, 99.35]".
    """
    if test is None or math.isnan(mean) or test.metric.source == "files":
        return ""
    unit = unit_of(test)
    digits = 1 if unit.startswith(("%", "points")) else 2 if unit in ("x", "p") else 3
    for _ in range(2):
        digits += low < high and f"{low:.{digits}f}" == f"{high:.{digits}f}"
    number = f"{mean:{'+' if test.b and unit != 'x' else ''}.{digits}f}"
    text = f"p = {number}" if unit == "p" else f"{number} {unit}".rstrip()
    text += " per tenfold size" if test.rule == "slope" else ""
    return text if math.isnan(low) else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def p_words(p: float) -> str:
    """Return a p-value with two digits, "<0.001" below that, "" where there is none."""
    return "" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.2g}"


def rule_words(test: Test) -> str:
    """Return a test's rule with its margin in words."""
    words = f"{test.metric.name}: {RULES[test.rule]}"
    if test.rule in ("superior_by", "noninferior", "plateau"):
        words += f" (delta {test.delta:g})"
    if not math.isnan(test.bound):
        words += f" (bound {test.bound:g})"
    if test.rule == "equivalent":
        words += f" ({test.bounds[0]:g} to {test.bounds[1]:g})"
    return words


def _range(paper: tuple[float, float]) -> str:
    low, high = paper
    if math.isnan(low):
        return ""
    return f"{low:+.1f}" if low == high else f"{low:+.1f} to {high:+.1f}"


def _values(frame: pd.DataFrame) -> list[list[object]]:
    plain = frame.astype(object).where(frame.notna(), None)
    return [list(row) for row in plain.to_numpy().tolist()]
