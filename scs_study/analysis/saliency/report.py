"""The saliency analysis (conf/analysis/saliency.yaml): figures and tables of the evaluated runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from scs_study.analysis.plots.style import FigureGroup, figure_groups
from scs_study.analysis.registry import Analysis, Subject
from scs_study.analysis.saliency.answers import answers
from scs_study.analysis.saliency.compare import SaliencyResult, variant_numbers
from scs_study.analysis.saliency.figure import Column, draw_checks, draw_maps, draw_measures
from scs_study.analysis.saliency.table import write_tables
from scs_study.analysis.variants import records
from scs_study.evaluation.saliency.evaluate import accurate, evaluate_saliency, evaluators, figure_images
from scs_study.evaluation.saliency.evaluator import SaliencyEvaluator
from scs_study.evaluation.saliency.settings import SaliencySettings, saliency_of
from scs_study.runs.context import RunContext
from scs_study.system.console import say


def compute(frame: pd.DataFrame, context: RunContext, settings: SaliencySettings) -> list[str]:
    """Compute what is missing of the maps of the finished runs in `frame`; return a message for each problem.

    Runs that are not finished, or less accurate than the settings ask for, are left out, which is logged.

    Raises:
        ValueError: a chosen image is not in the test set.
        Interrupted: after a signal; the same command goes on.
    """
    chosen, notes = accurate(records(frame), settings.min_accuracy)
    for note in notes:
        say(f"saliency: {note}")
    if not chosen:
        say("saliency: no run to look at; saliency.min_accuracy=0 takes all that are finished")
    return evaluate_saliency(chosen, context, settings)


def report(frame: pd.DataFrame, context: RunContext, settings: SaliencySettings, folder: Path) -> list[Path]:
    """Return the paths of the figures and tables of the evaluated runs, in folder/figures and folder/tables."""
    chosen, notes = accurate(records(frame), settings.min_accuracy)
    found, _ = evaluators(chosen, context, settings)
    results = {
        row["run"]: SaliencyResult(row, data)
        for row in chosen
        if row["run"] in found and (data := found[row["run"]].data()) is not None
    }
    paths: list[Path] = []
    for group in figure_groups(frame[frame["run"].isin(list(results))], settings.name) if results else ():
        paths += _report(group, results, found, settings, notes, folder)
    return paths


def _report(
    group: FigureGroup,
    runs: dict[str, SaliencyResult],
    found: dict[str, SaliencyEvaluator],
    settings: SaliencySettings,
    notes: Sequence[str],
    folder: Path,
) -> list[Path]:
    results = [[runs[row["run"]] for row in variant] for variant in group.variants]
    numbers = variant_numbers(results, group.labels, settings.seed)
    answered = answers(results, group.labels, settings.seed)
    paths = [*_maps(group, results, found, settings, folder / "figures")]
    paths += draw_measures(numbers, settings, group.title(), folder / "figures", f"{group.name}-measures")
    paths += draw_checks(group, results, settings, folder / "figures", f"{group.name}-checks")
    paths += write_tables(numbers, answered, settings, group.title(), notes, folder / "tables", group.name)
    return paths


def _maps(
    group: FigureGroup,
    results: Sequence[Sequence[SaliencyResult]],
    found: dict[str, SaliencyEvaluator],
    settings: SaliencySettings,
    folder: Path,
) -> tuple[Path, ...]:
    firsts = [found[variant[0].row["run"]] for variant in results]
    images = firsts[0].images
    labels = images.test_labels.numpy()
    numbers = figure_images(firsts, settings)
    columns = []
    for words, evaluator in zip(group.labels, firsts, strict=True):
        maps, classes = evaluator.figure_maps(numbers)
        columns.append(Column(words, maps, classes == labels[list(numbers)]))
    rows = [images.classes[labels[number]] for number in numbers]
    pictures = images.test_images[list(numbers)].numpy() if settings.picture else None
    seed = f"seed {results[0][0].row['seed']} of " if any(len(variant) > 1 for variant in results) else ""
    return draw_maps(columns, rows, pictures, settings, f"{seed}{group.title()}", folder, group.name)


def _check(config: DictConfig) -> None:
    saliency_of(config.saliency)


def _compute(subject: Subject) -> list[str]:
    assert subject.context is not None
    assert subject.config is not None
    return compute(subject.frame, subject.context, saliency_of(subject.config.saliency))


def _write(subject: Subject) -> list[Path]:
    assert subject.context is not None
    assert subject.config is not None
    return report(subject.frame, subject.context, saliency_of(subject.config.saliency), subject.folder)


ANALYSIS = Analysis(_write, _compute, _check, of_pairs=False)
