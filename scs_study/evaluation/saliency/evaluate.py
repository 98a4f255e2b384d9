"""The saliency evaluation of a group of runs: of those that are finished and accurate enough."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scs_study.evaluation.parts import evaluate
from scs_study.evaluation.saliency.evaluator import SaliencyData, SaliencyEvaluator
from scs_study.evaluation.saliency.settings import SaliencySettings
from scs_study.evaluation.trained import load_each
from scs_study.runs.context import RunContext
from scs_study.system.console import say
from scs_study.training.run_dir import FINAL_STATES

Row = dict[str, Any]
"""A run's row of a collected frame, missing values None."""


def accurate(rows: Sequence[Row], least: float) -> tuple[list[Row], list[str]]:
    """Return the runs that are finished and whose trained network is accurate enough, and messages about the others.

    The accuracy is that of the weights the run left, its last epoch's, which need not be its best.
    """
    finished = [row for row in rows if row["state"] in FINAL_STATES]
    chosen = [r for r in finished if r["final_test_accuracy"] is not None and r["final_test_accuracy"] >= least]
    notes = []
    if len(finished) < len(rows):
        notes.append(f"{len(rows) - len(finished)} of {len(rows)} runs are not finished and left out.")
    if below := [row for row in finished if row not in chosen]:
        words = ", ".join(_words(row) for row in below)
        notes.append(f"Left out, with a final test accuracy below {100 * least:g} %: {words}.")
    return chosen, notes


def evaluators(
    rows: Sequence[Row], context: RunContext, settings: SaliencySettings
) -> tuple[dict[str, SaliencyEvaluator], list[str]]:
    """Return the evaluators of finished runs, by run name, and a message for each run that cannot be read.

    Raises:
        ValueError: a chosen image is not in the test set.
    """
    found: dict[str, SaliencyEvaluator] = {}
    networks, problems = load_each(context.runs, rows)
    for trained in networks:
        images = context.images(trained.cell.data)
        for number in settings.chosen or ():
            if number >= len(images.test_labels):
                count = len(images.test_labels)
                raise ValueError(f"saliency.chosen={number}: the test set has the images 0 to {count - 1}")
        found[trained.folder.name] = SaliencyEvaluator(trained, images, settings, context.settings.device)
    return found, problems


def evaluate_saliency(rows: Sequence[Row], context: RunContext, settings: SaliencySettings) -> list[str]:
    """Compute what is missing of the saliency maps of finished runs; return a message for each that has a problem.

    Raises:
        ValueError: a chosen image is not in the test set.
        Interrupted: after a signal; what was computed until then is cached.
    """
    found, problems = evaluators(rows, context, settings)
    few = {e.run.cell.data.name: len(e.images.test_labels) for e in found.values()}
    for data, count in few.items():
        if settings.images is not None and settings.images > count:
            wanted = f"saliency.images={settings.images}"
            say(f"saliency: {data} has {count} test images, fewer than {wanted}: all are measured")
    problems += evaluate("saliency", found)
    for group in figure_groups(found):
        if numbers := figure_images(group, settings):
            for evaluator in group:
                evaluator.figure_maps(numbers)
    return problems


def figure_groups(found: Mapping[str, SaliencyEvaluator]) -> list[list[SaliencyEvaluator]]:
    """Return the evaluators that share a figure (architecture, norm, data), of each variant that of its first seed."""
    groups: dict[Any, dict[Any, SaliencyEvaluator]] = {}
    for evaluator in sorted(found.values(), key=lambda each: each.run.cell.seed):
        cell = evaluator.run.cell
        variants = groups.setdefault((cell.arch, cell.norm, cell.data.name, cell.data.size), {})
        variants.setdefault(dataclasses.replace(cell, seed=0), evaluator)
    return [list(variants.values()) for variants in groups.values()]


def figure_images(group: Sequence[SaliencyEvaluator], settings: SaliencySettings) -> tuple[int, ...]:
    """Return the numbers of the test images that a figure shows: the chosen ones, or one of each class.

    () where no evaluator of the group has all its parts.
    """
    found = [data for evaluator in group if (data := evaluator.data()) is not None]
    if not found:
        return ()
    return settings.chosen or one_of_each_class(found, group[0].images.test_labels.numpy())


def one_of_each_class(firsts: Sequence[SaliencyData], labels: NDArray[np.int64]) -> tuple[int, ...]:
    """Return the numbers of one image of each class: the one that most networks are right about, of equals the first.

    firsts: data of the same images; a class that none of these belongs to has no image.
    """
    numbers = firsts[0].numbers
    right = sum(data.right.astype(np.int64) for data in firsts)
    chosen = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels[numbers] == label)
        if len(places):
            chosen.append(int(numbers[places[np.argmax(np.asarray(right)[places])]]))
    return tuple(chosen)


def _words(row: Row) -> str:
    accuracy = row["final_test_accuracy"]
    shown = row["state"] if accuracy is None else f"{100 * accuracy:.1f} %"
    return f"{row['architecture']} {row['layer']} {row['activation']} {row['pooling']} s{row['seed']} ({shown})"
