"""The bench on disk: rows of numbers as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scs_study.system import files


def write_csv(path: Path, rows: Sequence[Any]) -> Path:
    """`path`, which holds the rows (dataclasses of one kind) under a head of their fields' names.

    Numbers have four digits; where there is none, nothing stands.
    """
    records = [asdict(row) for row in rows]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows([list(records[0]), *([_text(value) for value in each.values()] for each in records)])
    files.write_text(path, text.getvalue())
    return path


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
