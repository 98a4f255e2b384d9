"""The commands that repeat what a page shows."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scs_study.analysis.variants import records
from scs_study.config.overrides import parse_overrides
from scs_study.experiments.grid import Study, cell_overrides


def commands(frame: pd.DataFrame, studies: Sequence[str], page: str) -> list[str]:
    """Return the commands that compute the runs of a frame again, and the page.

    studies: what names each study for make (STUDY=table3); page: what names them all, or any runs (ARGS="match='...'").
    A commit is named where all runs are of one that had no changed files.
    """
    known = {str(row["commit"]) for row in records(frame) if row["commit"]}
    found = []
    if len(known) == 1 and not set(" +") & set(only := known.pop()):
        found.append(f"git checkout {only}")
    return [*found, *(f"make replicate {line}" for line in studies), f"make report {page}"]


def settings_to_repeat(overrides: Sequence[str]) -> list[str]:
    """Return those of a command line's overrides that say which runs are meant, less where files lie on a machine."""
    found = []
    for argument in overrides:
        key = parse_overrides([argument])[0].key_or_group
        if key == "init.checkpoint":
            argument = f"{key}=/path/to/{Path(str(parse_overrides([argument])[0].value())).name}"
        if (key != "study" and cell_overrides([argument])) or key.startswith("study."):
            found.append(argument)
    return found


def study_line(study: Study, overrides: Sequence[str]) -> str:
    """Return what names the study and the settings of a command line for make: STUDY=table3 ARGS=seed=1."""
    settings = settings_to_repeat(overrides)
    return f"STUDY={study.name}" + (f" ARGS={shlex.quote(' '.join(map(shlex.quote, settings)))}" if settings else "")


def study_lines(lines: Sequence[str]) -> str:
    """Return what names several studies of the same settings for make: STUDY=table3,table4 ARGS=seed=1."""
    names = [line.partition(" ")[0].removeprefix("STUDY=") for line in lines]
    _, gap, settings = lines[0].partition(" ")
    return f"STUDY={','.join(names)}{gap}{settings}"
