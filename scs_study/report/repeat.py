"""The commands that repeat what a page shows."""

from __future__ import annotations

import pandas as pd

from scs_study.analysis.variants import records


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
