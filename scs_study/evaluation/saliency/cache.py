"""Results that are kept in a run's folder, named after what they are results of, and computed once.

A file's name is a hash of the settings and of the checksums of the weights and the images, so a run that was trained
anew or a setting that was changed finds nothing, and what is done is never done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scs_study.evaluation.saliency.settings import key_of
from scs_study.system.console import say, say_once
from scs_study.system.tensors import Unreadable, load_tensors, save_tensors, set_aside

FOLDER = "saliency"
"""In the run's folder."""
Result = tuple[Mapping[str, Tensor], Mapping[str, Any]]
"""Named tensors, and notes that JSON can hold."""
_UNWRITTEN: dict[Path, Result] = {}
"""What this process has computed and could not write."""


def kept(run: Path, part: str, facts: Mapping[str, Any], compute: Callable[[], Result]) -> Result:
    """The result of `part` that the facts ask for: the kept one, or else what `compute` gives, which is kept then.

    facts: everything the result depends on, as JSON. A damaged file is set aside with a sentence on stderr. Where
    nothing can be written (runs of somebody else, a full disk), the result is kept for this process alone, and it is
    said.
    """
    path = run / FOLDER / f"{key_of(part, facts)}.safetensors"
    found = _UNWRITTEN.get(path) or _read(path, facts)
    if found is None:
        tensors, notes = compute()
        found = tensors, notes
        try:
            save_tensors(path, tensors, {"facts": dict(facts), "notes": dict(notes)})
        except OSError as error:
            _UNWRITTEN[path] = found
            where = f"saliency: nothing can be kept in the folders in {run.parent} ({error.strerror or error})"
            say_once(f"{where}: the next time it is computed again", error=True)
    return found


def is_kept(run: Path, part: str, facts: Mapping[str, Any]) -> bool:
    """Whether there is a file for that result; whether it is whole shows when it is read."""
    path = run / FOLDER / f"{key_of(part, facts)}.safetensors"
    return path in _UNWRITTEN or path.exists()


def _read(path: Path, facts: Mapping[str, Any]) -> Result | None:
    try:
        tensors, about = load_tensors(path)
        if about.get("facts") != facts:
            raise ValueError(f"{path} is damaged: it holds the result of other settings than its name says")
        return tensors, about["notes"]
    except FileNotFoundError:
        return None
    except Unreadable as error:
        say(f"{error}; computing it again", error=True)
        return None
    except ValueError as error:
        try:
            aside = f"kept as {set_aside(path).name}"
        except OSError as refused:
            aside = f"left there ({refused.strerror or refused})"
        say(f"{error}; {aside}, computing it again", error=True)
        return None
