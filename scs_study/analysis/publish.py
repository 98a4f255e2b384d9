"""What a study leaves in results/<study>/: tables, error curves and layer norms, from its run folders as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from scs_study.analysis.collect import collect
from scs_study.analysis.curves import curves
from scs_study.analysis.norms import norms
from scs_study.analysis.p_values import p_values
from scs_study.analysis.tables import belonging, table
from scs_study.analysis.weight_norms import weight_norms
from scs_study.analysis.writers import to_text, write_table
from scs_study.config import CellConfig
from scs_study.study.grid import Study, load_study

DRAWN: Mapping[str, Callable[[pd.DataFrame, Path, Path], tuple[Path, ...]]] = {
    "weight_norms": weight_norms,
    "p_values": p_values,
}
"""The analyses that need nothing but what every run records: figures and tables of a study that names them."""


def study_frame(cells: Sequence[CellConfig], runs: Path) -> pd.DataFrame:
    """The collected runs of a study's cells, those that have not started included.

    Errors: ValueError when none has started: there is nothing to publish, and what was published stays.
    """
    frame = collect(runs, {cell.run_name: cell.identity() for cell in cells})
    if (frame["state"] == "missing").all():
        raise ValueError(f"none of the study's {len(cells)} runs has started in {runs}: replicate it first")
    return frame


def publish_tables(study: Study, frame: pd.DataFrame, folder: Path) -> str:
    """The study's tables for a terminal and the paths of their files, which are written to folder/tables."""
    names: list[str | None] = [*paper_names(study)] or [None]
    parts = []
    for name in names:
        rows = belonging(frame, name) if name and len(names) > 1 else frame
        built = table(rows, name)
        paths = write_table(built, folder / "tables", name or study.name)
        parts.append("\n".join([to_text(built), *_listed(paths)]))
    return "\n\n".join(parts)


def publish_figures(study: Study, frame: pd.DataFrame, runs: Path, folder: Path) -> str:
    """The paths of the study's figures and of the tables that go with them, a line each, written below `folder`."""
    paths = [*curves(frame, runs, folder / "figures"), *norms(frame, runs, folder / "figures")]
    for name in study.analyses:
        if name in DRAWN:
            paths += DRAWN[name](frame, runs, folder)
    return "\n".join(_listed(paths))


def paper_names(study: Study) -> list[str]:
    """The names of the paper's tables that a study stands for, those of the studies it includes among them."""
    names = [study.paper] if study.paper else []
    for included in study.include:
        names += [name for name in paper_names(load_study(included)) if name not in names]
    return names


def _listed(paths: Sequence[Path]) -> list[str]:
    # A reader wants to open them, so: from where the command was typed, where that is shorter.
    here = Path.cwd()
    return [f"  {path.relative_to(here) if path.is_relative_to(here) else path}" for path in paths]
