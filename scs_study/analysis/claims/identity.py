"""Whether two runs are the same computation: everything that training recorded agrees, bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scs_study.analysis.collect import read_epochs
from scs_study.analysis.variants import Record
from scs_study.system.files import read_lines
from scs_study.system.tensors import checksum, load_tensors
from scs_study.training import run_dir as run_folder

NOT_COMPUTED = ("train_seconds", "eval_seconds")
"""What says how long an epoch took."""


def difference(a: Record, b: Record) -> str:
    """Return where two runs' records differ first, in words; "" where they agree in all they recorded.

    Losses and accuracies of every epoch, norms, p and q of every layer and epoch, norms of every mini-batch and the
    weights, as far as both have the file: the records of an epoch are enough to tell networks apart, and are needed.
    """
    folders = Path(a["folder"]), Path(b["folder"])
    first, second = (_epochs(folder) for folder in folders)
    if not first or not second:
        return "one has no epoch recorded"
    if len(first) != len(second):
        return f"{len(first)} epochs against {len(second)}"
    for one, other in zip(first, second, strict=True):
        for key in one.keys() | other.keys():
            if one.get(key) != other.get(key):
                return f"{key} of epoch {one['epoch']}: {one.get(key)} against {other.get(key)}"
    for name in (run_folder.LAYERS, run_folder.STEPS):
        both = [folder / name for folder in folders]
        if all(path.exists() for path in both) and read_lines(both[0]) != read_lines(both[1]):
            return f"{name} differs"
    weights = [folder / run_folder.WEIGHTS for folder in folders]
    if all(path.exists() for path in weights):
        sums = [checksum(load_tensors(path)[0]) for path in weights]
        if sums[0] != sums[1]:
            return "the trained weights differ"
    return ""


def _epochs(folder: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if key not in NOT_COMPUTED}
        for line in read_epochs(folder / run_folder.HISTORY)
    ]
