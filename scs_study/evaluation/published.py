"""What of an evaluation is published with a study's records, so that claims about images can be decided from them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scs_study.evaluation.robustness import batches
from scs_study.evaluation.saliency import evaluator
from scs_study.training.run_dir import WEIGHTS

NUMBERS = (f"{evaluator.FOLDER}/measures-*.safetensors", f"{evaluator.FOLDER}/curves-*.safetensors")
"""Numbers of every image that are no text, as the attacks' are; the maps themselves, megabytes a run, are left out."""
_RESULTS = (*NUMBERS, f"{batches.FOLDER}/*-*.jsonl")


def evaluated(runs: Path, names: Iterable[str]) -> list[str]:
    """Return those of the runs `names` that have maps or attacks, and the weights that these are of."""
    return [
        name
        for name in names
        if (runs / name / WEIGHTS).is_file() and any(any((runs / name).glob(pattern)) for pattern in _RESULTS)
    ]
