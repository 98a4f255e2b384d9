"""The head-to-head analysis (conf/analysis/headtohead.yaml): who is better on these images, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.headtohead.page import Bout, pairs_text, write_page
from scs_study.analysis.headtohead.verdict import DELTA, Shares, compare
from scs_study.analysis.plots.style import FigureGroup, figure_groups
from scs_study.analysis.registry import Analysis, Subject
from scs_study.analysis.variants import Record, finished, records
from scs_study.config.schema import cell_from_dict
from scs_study.evaluation.predictions import evaluate_predictions, predictions
from scs_study.runs.context import RunContext
from scs_study.system import files
from scs_study.system.console import say
from scs_study.training import run_dir as run_folder

BASELINE = "conv"
USUAL = ("relu", "max")
"""Activation and pooling of the baseline, where a study has several convolutional variants."""


def report(subject: Subject) -> tuple[Path, ...]:
    """Return the paths of the tables and of the page that gathers everything; print each verdict."""
    assert subject.context is not None
    rows = [row for row in records(subject.frame) if row["state"] in run_folder.FINAL_STATES]
    if not rows:
        return ()
    bouts = []
    for group in figure_groups(subject.frame, "headtohead"):
        if (bout := _bout(group, subject.context)) is not None:
            bouts.append(bout)
            say(f"\n{pairs_text(bout)}\n")
            for comparison in bout.comparisons:
                say(f"verdict, {group.variants[0][0]['architecture']}: {comparison.sentence()}")
    return write_page(bouts, subject.folder) if bouts else ()


def _bout(group: FigureGroup, context: RunContext) -> Bout | None:
    """The comparisons of one network on one set of images; None where no convolution is finished beside another."""
    named = list(zip(group.labels, group.variants, strict=True))
    plain = [pair for pair in named if pair[1][0]["layer"] == BASELINE]
    if not plain:
        say(f"headtohead: {group.title()}: no convolutional variant to compare with")
        return None
    base = next((p for p in plain if (p[1][0]["activation"], p[1][0]["pooling"]) == USUAL), plain[0])
    done = finished(row for _, variant in named for row in variant)
    if not done:
        return None
    cell = cell_from_dict(files.read_json(context.runs / done[0]["run"] / run_folder.CONFIG))
    images = context.images(cell.data)
    counts = np.bincount(images.test_labels.numpy(), minlength=len(images.classes))
    chance = float(counts.max() / counts.sum())
    right = {name: right_answers(variant, context, images.test_labels.numpy(), chance) for name, variant in named}
    others = [(name, right[name]) for name, _ in named if name != base[0]]
    comparisons = compare((base[0], right[base[0]]), others, chance, DELTA)
    if not comparisons:
        return None
    return Bout(group, tuple(comparisons), right, images, counts, chance)


def right_answers(
    variant: Sequence[Record], context: RunContext, labels: NDArray[np.int64], chance: float
) -> dict[int, Shares]:
    """Return by seed how right each finished network is on each test image, (images,), as its predictions say.

    One that diverged is as good as chance.
    """
    found: dict[int, Shares] = {}
    evaluations, _ = predictions(variant, context)
    for row in finished(variant):
        evaluation = evaluations.get(row["run"])
        classes = None if evaluation is None else evaluation.classes()
        if classes is None:
            continue
        diverged = row["state"] == "diverged"
        found[row["seed"]] = np.full(len(labels), chance) if diverged else (classes == labels).astype(np.float64)
    return found


def _compute(subject: Subject) -> list[str]:
    assert subject.context is not None
    return evaluate_predictions(records(subject.frame), subject.context)


ANALYSIS = Analysis(report, _compute, of_pairs=False)
