"""Figures and tables that no results folder has: what the analyses make of runs, drawn when the page is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from scs_study.analysis.collect import collect
from scs_study.analysis.pairs import apart, pair_curves
from scs_study.analysis.plots.layer_norms import norms
from scs_study.analysis.registry import Subject, find_analysis
from scs_study.config.groups import options
from scs_study.report.figures import pictures
from scs_study.report.gather import Gathered, only
from scs_study.report.page import Section
from scs_study.report.sheets import written_sheets
from scs_study.runs.context import RunContext
from scs_study.system.console import say


def with_figures(
    sections: Sequence[Section], found: Gathered, made: Path, context: RunContext, config: DictConfig
) -> list[Section]:
    """Return a study's sections; where nothing has been written of one by an analysis, with what `draw` makes of it.

    A study that was computed elsewhere, or came as records, has a page with figures, too. made: an empty folder.
    """
    shown = []
    for number, section in enumerate(sections, start=1):
        frame = section.frame
        begun = only(found, set(frame.loc[frame["state"] != "missing", "run"]))
        there = pictures(section.results, frame, "", ()) or written_sheets(section.results, section.own, ())
        if there or not begun.folders:
            shown.append(section)
        else:
            draw(begun, made / str(number), context, config)
            shown.append(dataclasses.replace(section, results=made / str(number)))
    return shown


def draw(found: Gathered, folder: Path, context: RunContext, config: DictConfig) -> None:
    """Write to folder/figures and folder/tables what the analyses can say of runs, as they have been evaluated so far.

    An analysis that computes nothing is made of what every training writes; of another one only what has been computed
    before can be shown. One that cannot be read (its data are not on this machine, its settings are others) leaves a
    sentence and nothing else.
    """
    runs = folder / "runs"
    runs.mkdir(parents=True)
    for name, place in found.folders.items():
        (runs / name).symlink_to(place.resolve(), target_is_directory=True)
    frame = collect(runs, list(found.folders))
    norms(frame, runs, folder / "figures")
    pairs = apart(frame)[1]
    if len(pairs):
        pair_curves(pairs, runs, folder / "figures")
    computed = {path.name for place in found.folders.values() for path in place.iterdir() if path.is_dir()}
    subject = Subject(frame, runs, folder, dataclasses.replace(context, runs=runs), config)
    for name in options("analysis"):
        try:
            analysis = find_analysis(name)
            if analysis.compute is None or name in computed:
                analysis.report(subject)
        except ValueError as error:
            say(f"{name}: {error}", error=True)
