"""The fidelity analysis (conf/analysis/fidelity.yaml): what was measured of generators, in tables and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from scs_study.analysis.fidelity.figures import draw_curves, draw_samples, over_epochs
from scs_study.analysis.fidelity.results import Variant, adversarial_rows, judged_variants
from scs_study.analysis.registry import Analysis, Subject
from scs_study.analysis.statistics.summary import interval
from scs_study.analysis.table_writer import write_table
from scs_study.analysis.variants import spans
from scs_study.config.schema import ADVERSARIAL, CellConfig
from scs_study.evaluation.fidelity.evaluator import FidelityEvaluator, cell_in
from scs_study.evaluation.fidelity.features import classifier_cell, train_classifier
from scs_study.evaluation.fidelity.metrics import Measures
from scs_study.evaluation.fidelity.settings import Fidelity, fidelity_of
from scs_study.evaluation.parts import evaluate
from scs_study.runs.context import RunContext
from scs_study.system.console import say

SHOWN = (("frechet", 3), ("kernel", 2), ("precision", 3), ("recall", 3))
"""Measures of the table, and their decimals."""
HEADS = ("variant", "seeds", "epoch", "Fréchet distance", "kernel distance", "precision", "recall")


def compute(subject: Subject, settings: Fidelity) -> list[str]:
    """Compute what is missing of the fidelity of the finished adversarial runs; return a message for each problem.

    Their classifier is trained first, where it is not there yet.

    Raises:
        Interrupted: after a signal; what was computed until then is cached.
    """
    assert subject.context is not None
    evaluators: dict[str, FidelityEvaluator] = {}
    problems: list[str] = []
    for row in (row for group in adversarial_rows(subject.frame) for row in group):
        folder = subject.runs / row["run"]
        try:
            if row["state"] == "diverged":
                raise ValueError(f"{row['run']} diverged, so its samples are not judged")
            classifier = classifier_cell(cell_in(folder), settings)
            if not (subject.runs / classifier.run_name).exists():
                say(f"fidelity: training {classifier.run_name}, in whose features samples are compared")
            train_classifier(classifier, subject.context)
            evaluators[row["run"]] = FidelityEvaluator(folder, settings, subject.context)
            evaluators[row["run"]].work()
        except ValueError as error:
            evaluators.pop(row["run"], None)
            problems.append(str(error))
    return list(dict.fromkeys(problems)) + evaluate("fidelity", evaluators)


def check_images(settings: Fidelity, cell: CellConfig, context: RunContext) -> None:
    """Do nothing where an adversarial cell has images enough for its classifier and for what is measured.

    Raises ValueError in one sentence where not, and for a classifier that cannot be built.
    """
    if cell.objective != ADVERSARIAL:
        return
    classifier, without = classifier_cell(cell, settings), "give more, or leave the analysis out: study.analyses=[]"
    count, batch = len(context.images(classifier.data).train_labels), classifier.train.batch_size
    if count < batch:
        raise ValueError(
            f"analysis=fidelity: {classifier.slug}, in whose features samples are compared, is trained in batches of "
            f"{batch}, and there are {count} training images; {without}"
        )
    context.check_batches([classifier])
    least = min(settings.samples, len(context.images(cell.data).test_labels))
    if least <= settings.neighbours:
        raise ValueError(
            f"fidelity.neighbours={settings.neighbours}: needs more images than that, and {least} of either kind are "
            f"compared; {without}"
        )


def report(subject: Subject, settings: Fidelity) -> list[Path]:
    """Return the paths of the table, the curves, and of what generators drew, and write them."""
    found, problems = judged_variants(subject.frame, subject.runs, settings)
    if not found:
        say("fidelity: nothing has been measured yet")
        return []
    paths = [*_table(found, settings, problems, subject.folder / "tables")]
    paths += draw_curves(found, f"Fidelity of samples, {_features(found)}", subject.folder / "figures")
    return [*paths, *draw_samples(found, subject.runs, subject.folder / "figures")]


def _features(found: Sequence[Variant]) -> str:
    names = dict.fromkeys(seed.features for variant in found for seed in variant.seeds)
    return f"in features of {' and '.join(names)}"


def _table(found: Sequence[Variant], settings: Fidelity, notes: Sequence[str], folder: Path) -> tuple[Path, ...]:
    rows = [_row(variant) for variant in found]
    reals = [seed.real for variant in found for seed in variant.seeds if seed.real is not None]
    if reals:
        rows.append(
            [
                "training images",
                "",
                "",
                *(_shown([float(getattr(r.measures, n)) for r in reals[:1]], d) for n, d in SHOWN),
            ]
        )
    counts = spans(each.count for variant in found for seed in variant.seeds for each in seed.drawn)
    caption = (
        f"How close generated images come to test images, {_features(found)} (before its last layer), of {counts} of "
        "either. Mean over seeds, and its 95 % interval from three seeds on. Lower distances, higher precision and "
        f"recall ({settings.neighbours} neighbours) are better; the last row has training images in the place of "
        "samples, as many as there are. These are not FID and KID, which stand for Inception's features."
    )
    heads = ("variant", "run", "seed", "epoch", "count", *(field.name for field in dataclasses.fields(Measures)))
    values = [
        (variant.words, seed.row["run"], seed.row["seed"], each.epoch, each.count, *dataclasses.astuple(each.measures))
        for variant in found
        for seed in variant.seeds
        for each in seed.epochs
    ]
    return write_table(folder, "fidelity", caption, (HEADS, rows), (heads, values), notes)


def _row(variant: Variant) -> list[object]:
    cells: list[object] = [variant.words, spans(seed.row["seed"] for seed in variant.seeds)]
    cells.append(over_epochs(variant.seeds, "frechet")[0][-1])
    for name, decimals in SHOWN:
        cells.append(_shown(over_epochs(variant.seeds, name)[1][-1], decimals))
    return cells


def _shown(values: Sequence[float], decimals: int) -> str:
    mean = sum(values) / len(values)
    low, high = interval(values)
    return f"{mean:.{decimals}f}" + ("" if low != low else f" ({low:.{decimals}f} to {high:.{decimals}f})")


def _settings(config: DictConfig | None) -> Fidelity:
    assert config is not None
    return fidelity_of(config.fidelity)


def _check(config: DictConfig) -> None:
    fidelity_of(config.fidelity)


ANALYSIS = Analysis(
    lambda subject: report(subject, _settings(subject.config)),
    lambda subject: compute(subject, _settings(subject.config)),
    _check,
    lambda config, cell, context: check_images(fidelity_of(config.fidelity), cell, context),
    of_pairs=True,
)
