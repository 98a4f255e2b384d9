"""The commands that repeat what a page shows."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scs_study.analysis.variants import records
from scs_study.config.overrides import parse_overrides
from scs_study.experiments.grid import Study, cell_overrides


def commands(frame: pd.DataFrame, line: str) -> list[str]:
    """Return the commands that compute the runs of a frame again, and the page. line: what names them (STUDY=table3).

    A commit is named where all runs are of one that had no changed files.
    """
    known = {str(row["commit"]) for row in records(frame) if row["commit"]}
    found = []
    if len(known) == 1 and not set(" +") & set(only := known.pop()):
        found.append(f"git checkout {only}")
    if "match=" not in line:
        found.append(f"make replicate {line}")
    return [*found, f"make report {line}"]


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
