"""What a study leaves in results/<study>/: tables, error curves and layer norms, from its run folders as they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from scs_study.analysis.collect import collect
from scs_study.analysis.forms import to_text, write_study_table
from scs_study.analysis.pairs import apart, pair_curves, pair_table
from scs_study.analysis.plots.curves import curves
from scs_study.analysis.plots.layer_norms import norms
from scs_study.analysis.registry import Subject, analyses_of, results_of
from scs_study.analysis.tables import table
from scs_study.config.schema import CellConfig
from scs_study.experiments.grid import SubStudy


def study_frame(cells: Sequence[CellConfig], runs: Path) -> pd.DataFrame:
    """Return the collected runs of a study's cells, those that have not started included.

    Raises ValueError when none has started: there is nothing to publish, and what was published stays.
    """
    frame = collect(runs, {cell.run_name: cell.identity() for cell in cells})
    if (frame["state"] == "missing").all():
        raise ValueError(f"none of the study's {len(cells)} runs has started in {runs}: replicate it first")
    return frame


def publish_tables(subs: Sequence[SubStudy], frame: pd.DataFrame, runs: Path, folder: Path) -> str:
    """Write the tables of a study's sub-studies to folder/tables; return them as text, with the paths of their files.

    frame: the runs of all of them. A study of several has a folder of its own for each, below `folder`.
    """
    texts = []
    for sub, rows, where in _apart(subs, frame, folder):
        texts += _tables(rows, runs, where / "tables", sub.study.paper or sub.study.name, sub.study.paper)
    return "\n\n".join(texts)


def publish_figures(subs: Sequence[SubStudy], frame: pd.DataFrame, runs: Path, folder: Path) -> str:
    """Write the sub-studies' figures and the tables beside them, as publish_tables; return their paths, a line each.

    A sub-study of which nothing has started has none.
    """
    paths: list[Path] = []
    for sub, rows, where in _apart(subs, frame, folder):
        if (rows["state"] == "missing").all():
            continue
        paths += _figures(rows, runs, where / "figures")
        for _, analysis in analyses_of(sub.study):
            if analysis.compute is None or analysis.from_records:
                paths += analysis.report(Subject(rows, runs, where))
    return "\n".join(_listed(paths))


def publish_matching(frame: pd.DataFrame, runs: Path, folder: Path, tables: bool, figures: bool) -> str:
    """Write the table of any runs, their error curves and layer norms; return the table as text and all paths.

    Written to folder/tables and folder/figures, whichever of them is asked for.
    """
    texts: list[str] = []
    paths: list[Path] = []
    if tables:
        texts += _tables(frame, runs, folder / "tables", folder.name)
    if figures:
        paths += _figures(frame, runs, folder / "figures")
    return "\n".join([*texts, *_listed(paths)])


def _tables(frame: pd.DataFrame, runs: Path, folder: Path, name: str, paper: str | None = None) -> list[str]:
    """Write the table of the runs that have an accuracy, and that of the adversarial ones; return both as text."""
    classifiers, pairs = apart(frame)
    texts = []
    if len(classifiers) or not len(pairs):
        built = table(classifiers, paper)
        texts.append("\n".join([to_text(built), *_listed(write_study_table(built, folder, name))]))
    if len(pairs):
        text, paths = pair_table(pairs, runs, folder, f"{name}-pairs" if texts else name)
        texts.append("\n".join([text, "", *_listed(paths)]))
    return texts


def _figures(frame: pd.DataFrame, runs: Path, folder: Path) -> list[Path]:
    classifiers, pairs = apart(frame)
    paths = [*curves(classifiers, runs, folder)] if len(classifiers) or not len(pairs) else []
    paths += pair_curves(pairs, runs, folder) if len(pairs) else ()
    return [*paths, *norms(frame, runs, folder)]


def _apart(
    subs: Sequence[SubStudy], frame: pd.DataFrame, folder: Path
) -> Iterator[tuple[SubStudy, pd.DataFrame, Path]]:
    for sub in subs:
        yield sub, frame[frame["run"].isin([cell.run_name for cell in sub.cells])], results_of(sub, subs, folder)


def _listed(paths: Sequence[Path]) -> list[str]:
    # A reader wants to open them, so: from where the command was typed, where that is shorter.
    try:
        here = Path.cwd()
    except OSError:  # that folder has been removed meanwhile
        here = Path(os.devnull)
    return [f"  {path.relative_to(here) if path.is_relative_to(here) else path}" for path in paths]
