"""Results that are kept in a run's folder, named after what they are results of, and computed once.

A file's name is a hash of the settings and of the checksums of the weights and the images, so a run that was trained
anew or a setting that was changed finds nothing, and what is done is never done again.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scs_study.evaluation.saliency.settings import key_of
from scs_study.tensors import load_tensors, save_tensors, set_aside

FOLDER = "saliency"
"""In the run's folder."""
Result = tuple[Mapping[str, Tensor], Mapping[str, Any]]
"""Named tensors, and notes that JSON can hold."""


def kept(run: Path, part: str, facts: Mapping[str, Any], compute: Callable[[], Result]) -> Result:
    """The result of `part` that the facts ask for: the kept one, or else what `compute` gives, which is kept then.

    facts: everything the result depends on, as JSON. A damaged file is set aside with a sentence on stderr.
    """
    path = run / FOLDER / f"{key_of(part, facts)}.safetensors"
    found = _read(path, facts)
    if found is None:
        tensors, notes = compute()
        save_tensors(path, tensors, {"facts": dict(facts), "notes": dict(notes)})
        found = tensors, notes
    return found


def is_kept(run: Path, part: str, facts: Mapping[str, Any]) -> bool:
    """Whether there is a file for that result; whether it is whole shows when it is read."""
    return (run / FOLDER / f"{key_of(part, facts)}.safetensors").exists()


def _read(path: Path, facts: Mapping[str, Any]) -> Result | None:
    try:
        tensors, about = load_tensors(path)
        if about.get("facts") != facts:
            raise ValueError(f"{path} is damaged: it holds the result of other settings than its name says")
        return tensors, about["notes"]
    except FileNotFoundError:
        return None
    except ValueError as error:
        with contextlib.suppress(FileNotFoundError):
            print(f"{error}; kept as {set_aside(path).name}, computing it again", file=sys.stderr, flush=True)
        return None
