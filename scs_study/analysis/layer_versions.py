"""The layers analysis (conf/analysis/layers.yaml): every layer in one network, and which the paper's numbers fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scs_study.analysis.collect import WHOLE
from scs_study.analysis.dead import is_dead
from scs_study.analysis.paper import BASELINE, paper_epochs, paper_tables
from scs_study.analysis.plots.style import new_figure, our_style, save
from scs_study.analysis.registry import Analysis, Subject
from scs_study.analysis.seeds import baseline_of, values_by_seed
from scs_study.analysis.statistics import paired
from scs_study.analysis.statistics.summary import FEWEST, Summary, interval, summarise
from scs_study.analysis.table_writer import terminal_text, write_table
from scs_study.analysis.variants import Record, finished, recipe_words, records, variants
from scs_study.config.schema import OWN
from scs_study.evaluation.dead_kernels import dead_counts, evaluate_dead_kernels
from scs_study.system.console import say
from scs_study.system.files import read_json
from scs_study.training.run_dir import RESULT

PAPERS_LAYER = "scs"
"""Whose rows of the paper every version is held to: the paper says "SCS" and not which."""
HEADS = ("layer", "weights", "activation", "pooling", "parameters", "seeds", "dead seeds", "accuracy %", "SD",
         "difference", "low", "high", "from the paper's", "dead kernels %", "out of bounds", "train s")  # fmt: skip


@dataclass(frozen=True)
class Version:
    """The finished seeds of a layer. difference: to conv + relu + max in points, paired by seed, a dead seed at chance.

    low, high: its 95 % interval, NaN below three seeds. away: from the paper's difference, in points, signed; None
    where the paper has no such cell. silent: share of kernels that say the same to every image; NaN where they have not
    been counted. bounds: seeds whose gradients or loss left their bounds.
    """

    group: tuple[Record, ...]
    accuracy: Summary
    dead: int
    difference: float
    low: float
    high: float
    away: float | None
    silent: float
    bounds: int

    @property
    def name(self) -> str:
        """The layer, its start where that is its own, and what stands around it."""
        row = self.group[0]
        own = " from its own start" if row["init"] == OWN else ""
        return f"{row['layer']}{own} ({row['activation']}, {row['pooling']})"

    @property
    def fits(self) -> bool:
        """Whether the interval of the difference holds the paper's; never below three seeds."""
        return self.away is not None and self.low <= self.difference - self.away <= self.high


def versions(subject: Subject) -> list[Version]:
    """Return every layer of the subject's runs that has a finished seed, the most accurate first."""
    groups = [tuple(finished(group)) for group in variants(subject.frame)]
    groups = [group for group in groups if group]
    baselines = [group for group in groups if _cell(group[0]) == BASELINE]
    found = []
    for group in groups:
        baseline = baseline_of(group, baselines)
        ours, theirs = _accuracies(group), {} if baseline is None or baseline is group else _accuracies(baseline)
        both = paired(ours, theirs)
        differences = [ours[seed] - theirs[seed] for seed in both.seeds]
        low, high = interval(differences, within=(-100.0, 100.0))
        papers = _papers_difference(group[0])
        dead = [counts for row in group if (counts := dead_counts(subject.runs / row["run"]))]
        silent = [sum(n for n, _ in k.values()) / sum(n for _, n in k.values()) for k in dead]
        found.append(
            Version(
                group=group,
                accuracy=summarise(ours.values()),
                dead=sum(map(is_dead, group)),
                difference=both.difference.mean,
                low=low,
                high=high,
                away=None if papers is None or not differences else both.difference.mean - papers,
                silent=summarise(silent).mean,
                bounds=sum(_left_bounds(row, subject.runs) for row in group),
            )
        )
    return sorted(found, key=lambda version: -version.accuracy.mean)


def verdict(found: Sequence[Version]) -> str:
    """Return which version the paper's numbers fit, in a sentence.

    Of the versions without ReLU and with MaxAbsPool, as the paper introduces SCS. Fits: the 95 % interval of the paired
    difference to conv + relu + max holds the paper's difference. Below three seeds or the paper's epochs: a leaning.
    """
    held = [version for version in found if version.away is not None and _cell(version.group[0])[1:] == _INTRODUCED]
    if not held:
        return "which version the paper's numbers fit: no run stands beside a convolution with ReLU and MaxPool"
    nearest = min(held, key=lambda version: abs(version.away or 0.0))
    first = held[0].group[0]
    papers, papers_epochs = _papers_difference(first), paper_epochs(first["architecture"])
    epochs, seeds = min(version.group[0]["epochs"] for version in held), min(v.accuracy.n for v in held)
    lacks = [f"{epochs} of {papers_epochs} epochs"] * (epochs < papers_epochs)
    lacks += [f"{seeds} of {FEWEST} seeds"] * (seeds < FEWEST)
    fitting = [version.name for version in held if version.fits]
    return (
        f"{'preliminary (' + ', '.join(lacks) + '): ' if lacks else ''}the paper's difference of SCS to the "
        f"convolution ({papers:+.1f} points) fits {', '.join(fitting) or 'none by its interval'}; nearest is "
        f"{nearest.name}, {abs(nearest.away or 0.0):.1f} points away"
    )


_INTRODUCED = ("none", "maxabs")


def report(subject: Subject) -> tuple[Path, ...]:
    """Return the paths of the table and the figure, and print the table with its verdict."""
    found = versions(subject)
    if not found:
        say("layers: no run is finished")
        return ()
    rows = [_row(version) for version in found]
    shown = [[_shown(value) for value in row] for row in rows]
    say(f"\n{terminal_text(HEADS, shown, 'llllrrrrrrrrrrrr')}\n")
    sentence = verdict(found)
    say(sentence)
    caption = (
        f"{recipe_words([row for version in found for row in version.group])}. Accuracy: best of a run, mean over "
        f"seeds, a dead seed's at chance; difference to conv + relu + max in points, paired by seed, with its 95 % "
        f"interval from three seeds on; from the paper's: what it is off the paper's difference of SCS in that place. "
        f"Weights: the convolution's, common to all, or the layer's own law. Dead kernels say the same to every of 256 "
        f"test images. Out of bounds: seeds with a loss or gradient that was not finite, or a gradient norm that "
        f"vanished or exploded. Train s: median of an epoch, of a machine that may have done other work."
    )
    paths = write_table(subject.folder / "tables", "layers", caption, (HEADS, shown), (HEADS, rows), [sentence])
    return (*paths, *_figure(found, subject.folder / "figures"))


def _figure(found: Sequence[Version], folder: Path) -> tuple[Path, ...]:
    with our_style():
        figure = new_figure(7.0, 0.8 + 0.24 * len(found))
        axes = figure.subplots()
        for place, version in enumerate(found):
            row = version.group[0]
            color = "#555555" if row["layer"] == "conv" else "#0072b2" if row["init"] == OWN else "#d55e00"
            values = list(_accuracies(version.group).values())
            axes.plot(values, [place] * len(values), "|", color=color, markersize=9)
            axes.plot([version.accuracy.mean], [place], "o", color=color, markersize=5)
        axes.set_yticks(range(len(found)), [version.name for version in found])
        axes.invert_yaxis()
        axes.set_xlabel("test accuracy, %, best of a run; blue: its own start")
        axes.grid(axis="x", alpha=0.3)
        return save(figure, folder, "layers", colours=True)


def _row(version: Version) -> list[object]:
    first = version.group[0]
    seconds = [row["train_seconds"] for row in version.group if row["train_seconds"] is not None]
    return [
        first["layer"], "own" if first["init"] == OWN else "common", first["activation"], first["pooling"],
        first["parameters"], version.accuracy.n, version.dead, version.accuracy.mean, version.accuracy.deviation,
        version.difference, version.low, version.high, version.away, 100 * version.silent, version.bounds,
        summarise(seconds).mean,
    ]  # fmt: skip


def _shown(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _accuracies(group: Sequence[Record]) -> dict[int, float]:
    return {seed: accuracy for seed, (accuracy, _) in values_by_seed(group).items()}


def _left_bounds(row: Record, runs: Path) -> bool:
    return row["state"] not in WHOLE or bool(read_json(runs / row["run"] / RESULT).get("gradient_left_bounds"))


def _papers_difference(row: Record) -> float | None:
    """The paper's difference in points of SCS, in the row's place, to its conv + relu + max; None where it has none."""
    around = (row["architecture"], row["norm"], row["image_size"])
    accuracy = {
        (each.layer, each.activation, each.pooling): each.accuracy
        for table in paper_tables().values()
        for each in table
        if (each.architecture, each.norm, each.image_size) == around
    }
    cell = (PAPERS_LAYER, row["activation"], row["pooling"])
    if row["layer"] == "conv" or BASELINE not in accuracy or cell not in accuracy:
        return None
    return 100 * (accuracy[cell] - accuracy[BASELINE])


def _cell(row: Record) -> tuple[str, str, str]:
    return row["layer"], row["activation"], row["pooling"]


def _compute(subject: Subject) -> list[str]:
    assert subject.context is not None
    return evaluate_dead_kernels(records(subject.frame), subject.context)


ANALYSIS = Analysis(report, _compute, from_records=True)
