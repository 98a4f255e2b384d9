"""The saliency analysis of a group of runs: of those that are finished and accurate enough, figure and tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import DictConfig

from scs_study.analysis.collect import FINAL, collect
from scs_study.analysis.plots.style import Panel, panels
from scs_study.analysis.saliency.compare import Seen, answers, variant_numbers
from scs_study.analysis.saliency.figure import Column, draw_checks, draw_maps, draw_measures
from scs_study.analysis.saliency.table import write_tables
from scs_study.analysis.variants import Record, records
from scs_study.config.schema import CellConfig
from scs_study.data import ImageSet
from scs_study.evaluation.saliency.runs import Analyst
from scs_study.evaluation.saliency.settings import SaliencySettings, saliency_of
from scs_study.evaluation.trained import load_trained
from scs_study.experiments.grid import Study
from scs_study.runs.context import Workplace
from scs_study.runs.progress import duration
from scs_study.system.console import fitted, say
from scs_study.training.stopping import Interrupted, StopRequest


def check(config: DictConfig) -> None:
    """None. Errors: ValueError in one sentence for wrong settings."""
    saliency_of(config.saliency)


def follow_with_saliency(
    study: Study, cells: Sequence[CellConfig], place: Workplace, config: DictConfig, folder: Path
) -> list[str]:
    """The sentences of what went wrong, [] where all went well; as analysis.following wants it."""
    frame = collect(place.runs, {cell.run_name: cell.identity() for cell in cells})
    return saliency(frame, place, saliency_of(config.saliency), folder)


def saliency(frame: pd.DataFrame, place: Workplace, settings: SaliencySettings, folder: Path) -> list[str]:
    """The sentences of what went wrong; figures and tables of the runs in `frame` are in folder/figures and /tables.

    Runs that are not finished, or less accurate than the settings ask for, are left out, and it is said. What is kept
    in the runs' folders is not computed again. Errors: Interrupted when a signal asked to stop; the same command goes
    on. ValueError when a chosen image is not in the test set.
    """
    chosen, notes = accurate(records(frame), settings.min_accuracy)
    for note in notes:
        say(f"saliency: {note}")
    with StopRequest().listening() as stop:
        analysts, problems = _analyse(chosen, place, settings, stop)
    runs = {name: Seen(_row(chosen, name), analyst.analysed()) for name, analyst in analysts.items()}
    if not runs:
        say("saliency: no run to look at; saliency.min_accuracy=0 takes all that are finished")
        return problems
    for panel in panels(frame[frame["run"].isin(list(runs))], settings.name):
        for path in _publish(panel, runs, analysts, settings, notes, folder):
            say(f"  {path}")
    return problems


def accurate(rows: Sequence[Record], least: float) -> tuple[list[Record], list[str]]:
    """Of the runs, those that are finished and whose trained network is accurate enough; sentences about the others.

    The accuracy is that of the weights the run left, its last epoch's, which need not be its best.
    """
    finished = [row for row in rows if row["state"] in FINAL]
    chosen = [r for r in finished if r["final_test_accuracy"] is not None and r["final_test_accuracy"] >= least]
    notes = []
    if len(finished) < len(rows):
        notes.append(f"{len(rows) - len(finished)} of {len(rows)} runs are not finished and left out.")
    if below := [row for row in finished if row not in chosen]:
        words = ", ".join(_words(row) for row in below)
        notes.append(f"Left out, with a final test accuracy below {100 * least:g} %: {words}.")
    return chosen, notes


def _words(row: Record) -> str:
    accuracy = row["final_test_accuracy"]
    shown = row["state"] if accuracy is None else f"{100 * accuracy:.1f} %"
    return f"{row['architecture']} {row['layer']} {row['activation']} {row['pooling']} s{row['seed']} ({shown})"


def _analyse(
    rows: Sequence[Record], place: Workplace, settings: SaliencySettings, stop: Callable[[], bool]
) -> tuple[dict[str, Analyst], list[str]]:
    """The analysts of the runs, by run name, with everything of theirs kept; and what went wrong."""

    def check_stop() -> None:
        if stop():
            raise Interrupted("the saliency analysis goes on from here when the same command is given again")

    analysts: dict[str, Analyst] = {}
    problems = []
    few: dict[str, int] = {}
    for row in rows:
        try:
            trained = load_trained(place.runs / row["run"])
        except ValueError as error:
            problems.append(str(error))
            continue
        images = place.images(trained.cell.data)
        _check_chosen(settings, images)
        if settings.images is not None and settings.images > len(images.test_labels):
            few[trained.cell.data.name] = len(images.test_labels)
        analysts[row["run"]] = Analyst(trained, images, settings, place.settings.device, check_stop)
    for data, count in few.items():
        say(f"saliency: {data} has {count} test images, fewer than saliency.images={settings.images}: all are measured")
    todo = {name: left for name, analyst in analysts.items() if (left := analyst.left())}
    if todo:
        say(f"saliency: {len(analysts)} runs, {len(analysts) - len(todo)} done already")
    started, done, parts = time.monotonic(), 0, sum(todo.values())
    for number, (name, left) in enumerate(todo.items(), start=1):
        found = analysts[name].analysed().measures
        done += left
        seconds = (time.monotonic() - started) / done * (parts - done)
        gini = float(np.nanmean(found.gini)) if not np.isnan(found.gini).all() else float("nan")
        words = duration(seconds)
        tails = f"  Gini {gini:.3f}  left about {words}", f"  Gini {gini:.3f}  left {words}"
        say(fitted(f"[{number}/{len(todo)}] ", name, *tails))
    return analysts, problems


def _check_chosen(settings: SaliencySettings, images: ImageSet) -> None:
    count = len(images.test_labels)
    for number in settings.chosen or ():
        if number >= count:
            raise ValueError(f"saliency.chosen={number}: the test set has the images 0 to {count - 1}")


def _publish(
    panel: Panel,
    runs: dict[str, Seen],
    analysts: dict[str, Analyst],
    settings: SaliencySettings,
    notes: Sequence[str],
    folder: Path,
) -> list[Path]:
    groups = [[runs[row["run"]] for row in group] for group in panel.groups]
    found = variant_numbers(groups, panel.labels, settings.seed)
    answered = answers(groups, panel.labels, settings.seed)
    paths = [*_maps(panel, groups, analysts, settings, folder / "figures")]
    paths += draw_measures(found, settings, panel.title(), folder / "figures", f"{panel.name}-measures")
    paths += draw_checks(panel, groups, settings, folder / "figures", f"{panel.name}-checks")
    paths += write_tables(found, answered, settings, panel.title(), notes, folder / "tables", panel.name)
    return paths


def _maps(
    panel: Panel,
    groups: Sequence[Sequence[Seen]],
    analysts: dict[str, Analyst],
    settings: SaliencySettings,
    folder: Path,
) -> tuple[Path, ...]:
    firsts = [group[0] for group in groups]
    images = analysts[firsts[0].row["run"]].images
    labels = images.test_labels.numpy()
    numbers = settings.chosen or one_of_each_class(firsts, labels)
    columns = []
    for words, seen in zip(panel.labels, firsts, strict=True):
        maps, classes = analysts[seen.row["run"]].maps(numbers)
        columns.append(Column(words, maps, classes == labels[list(numbers)]))
    rows = [images.classes[labels[number]] for number in numbers]
    pictures = images.test_images[list(numbers)].numpy() if settings.picture else None
    seed = f"seed {firsts[0].row['seed']} of " if any(len(group) > 1 for group in groups) else ""
    return draw_maps(columns, rows, pictures, settings, f"{seed}{panel.title()}", folder, panel.name)


def one_of_each_class(firsts: Sequence[Seen], labels: NDArray[np.int64]) -> tuple[int, ...]:
    """The numbers of one image of each class: the one that most networks are right about, of equals the first.

    firsts: analyses of the same images; a class that none of these belongs to has no image.
    """
    numbers = firsts[0].found.numbers
    right = sum(seen.found.right.astype(np.int64) for seen in firsts)
    chosen = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels[numbers] == label)
        if len(places):
            chosen.append(int(numbers[places[np.argmax(np.asarray(right)[places])]]))
    return tuple(chosen)


def _row(rows: Sequence[Record], name: str) -> Record:
    return next(row for row in rows if row["run"] == name)
