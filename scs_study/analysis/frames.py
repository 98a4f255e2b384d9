"""Any runs as a pandas DataFrame, in one call: a row a run, or a row an epoch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from scs_study.analysis.collect import collect, history
from scs_study.runs.archive import SUFFIX, unpacked
from scs_study.system.places import PROJECT


def runs(place: str | Path = PROJECT / "runs", match: str = "*") -> pd.DataFrame:
    """Return a row for every run, whatever its state; the columns are those of `collect.collect`.

    place: a folder of runs, or a study's published records (results/<study>/records.jsonl.gz). match: a pattern of run
    names. Accuracies are fractions, seconds are medians per epoch.

    Raises ValueError where there is nothing such, or no run has such a name.
    """
    return collect(*_found(place, match))


def epochs(place: str | Path = PROJECT / "runs", match: str = "*") -> pd.DataFrame:
    """Return a row for every epoch of every run: history.jsonl, with the run's settings before it.

    Arguments and errors as for `runs`. A run without an epoch has no row.
    """
    folder, names = _found(place, match)
    settings = collect(folder, names)
    settings = settings.drop(columns=[name for name in settings if str(name).endswith(("_accuracy", "_seconds"))])
    parts = [
        pd.concat([pd.DataFrame([row] * len(lines), index=lines.index), lines], axis=1)
        for row, lines in (({**row}, history(folder / row["run"])) for row in settings.to_dict("records"))
        if len(lines)
    ]
    return pd.concat(parts, ignore_index=True) if parts else settings.iloc[:0].assign(epoch=[])


def _found(place: str | Path, match: str) -> tuple[Path, list[str]]:
    place = Path(place)
    if not place.exists():
        raise ValueError(f"{place}: there is no such folder of runs, and no such file of records")
    if place.is_file() and not place.name.endswith(SUFFIX):
        raise ValueError(f"{place}: must be a folder of runs, or records that end in {SUFFIX}")
    folder = unpacked(place) if place.is_file() else place
    names = sorted(path.parent.name for path in folder.glob(f"{match}/config.json"))
    if not names:
        raise ValueError(f"{place}: no run in it is called {match}")
    return folder, names
