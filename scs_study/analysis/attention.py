"""The attention analysis (conf/analysis/attention.yaml): accuracy by kind of attention, and the size of its part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from scs_study.analysis.claims.rules import Estimate, estimate, finding
from scs_study.analysis.claims.schema import METRICS, Test
from scs_study.analysis.headtohead.report import right_answers
from scs_study.analysis.headtohead.verdict import DECIDES, DELTA, Comparison, compare
from scs_study.analysis.registry import Analysis, Subject
from scs_study.analysis.table_writer import terminal_text, write_table
from scs_study.analysis.variants import Record, finished, recipe_words, records
from scs_study.evaluation.attention import branches, evaluate_branches
from scs_study.evaluation.predictions import evaluate_predictions
from scs_study.system.console import say

SOFTMAX, PUBLISHED = "cct2", "cct2_scs_published"
REPORTED = {SOFTMAX: 81.5, PUBLISHED: 77.5}
"""What the README's figure shows, in % (systems.md 5)."""
COST = (-5.0, -3.0)
"""Points that "costs 4 points" stands for: the 90 % interval must be inside, by two one-sided tests."""
FULL = 310
"""Epochs of the published schedule; a shorter one gives a leaning."""
HEADS = ("attention", "seeds", "accuracy %", "published %", "difference", "low", "high", "part at start", "at end")


def report(subject: Subject) -> tuple[Path, ...]:
    """Return the paths of the table, and print it with the verdicts."""
    assert subject.context is not None
    by_arch: dict[str, list[Record]] = {}
    for row in finished(records(subject.frame)):
        by_arch.setdefault(row["architecture"], []).append(row)
    if SOFTMAX not in by_arch:
        say(f"attention: no run of {SOFTMAX}, which the others are compared with, is finished")
        return ()
    labels = subject.context.images(branches(by_arch[SOFTMAX], subject.context).popitem()[1].run.cell.data).test_labels
    chance = float(labels.bincount().max()) / len(labels)
    right = {name: right_answers(rows, subject.context, labels.numpy(), chance) for name, rows in by_arch.items()}
    others = [(name, of_seed) for name, of_seed in right.items() if name != SOFTMAX]
    comparisons = {c.a: c for c in compare((SOFTMAX, right[SOFTMAX]), others, chance, DELTA)}
    rows = []
    for name, runs in by_arch.items():
        sizes = [found for each in branches(runs, subject.context).values() if (found := each.sizes()) is not None]
        parts = [float(np.mean([(s[when][:, 0] / s[when][:, 1]).mean() for s in sizes])) for when in ("start", "end")]
        accuracy = 100 * float(np.mean([value.mean() for value in right[name].values()]))
        rows.append([name, len(right[name]), accuracy, REPORTED.get(name), *_difference(comparisons.get(name)), *parts])
    shown = [[_shown(value) for value in row] for row in rows]
    say(f"\n{terminal_text(HEADS, shown, 'lrrrrrrrr')}\n")
    sentences = [f"verdict: {c.sentence()}" for c in comparisons.values()]
    if PUBLISHED in comparisons:
        sentences.append(cost_sentence(comparisons[PUBLISHED], min(row["epochs"] for row in by_arch[PUBLISHED])))
    for sentence in sentences:
        say(sentence)
    caption = (
        f"{recipe_words([row for rows in by_arch.values() for row in rows])}. Accuracy of the last epoch's networks; "
        f"difference to softmax in points with its 95 % interval, paired by seed; the part of attention is its "
        f"deviation, without the projection's bias, over that of the tokens it is added to, mean of the layers."
    )
    return write_table(subject.folder / "tables", "attention", caption, (HEADS, shown), (HEADS, rows), sentences)


def cost_sentence(c: Comparison, epochs: int) -> str:
    """Return what the runs say of "costs 4 points": supported, not supported or undecided, or a leaning."""
    found = cost(c)
    word = {"yes": "supported", "no": "not supported", "undecided": "undecided"}[finding(_test(), found)]
    if epochs < FULL or len(c.seeds) < DECIDES:
        lacks = f"{epochs} of {FULL} epochs" if epochs < FULL else f"{len(c.seeds)} of {DECIDES} seeds"
        word = f"preliminary, {word} so far ({lacks})"
    return f'"costs 4 points" (published: {REPORTED[SOFTMAX]} and {REPORTED[PUBLISHED]} %): {word}.'


def cost(c: Comparison) -> Estimate:
    """Return the estimate of the published attention's difference, held to COST."""
    return estimate(_test(), c.found.values, (-100.0, 100.0))


def _test() -> Test:
    nan = math.nan
    return Test(METRICS["accuracy"], "equivalent", 1.0, COST, nan, (), {}, (), (), {}, None, None, None, {})


def _difference(c: Comparison | None) -> Sequence[float | None]:
    return (None, None, None) if c is None else (c.found.mean, c.found.low, c.found.high)


def _shown(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.2f}" if value == 0 or abs(value) >= 0.01 else f"{value:.1e}"
    return str(value)


def _compute(subject: Subject) -> list[str]:
    assert subject.context is not None
    rows: Sequence[Mapping[str, object]] = records(subject.frame)
    return [*evaluate_predictions(rows, subject.context), *evaluate_branches(rows, subject.context)]


ANALYSIS = Analysis(report, _compute, of_pairs=False)
