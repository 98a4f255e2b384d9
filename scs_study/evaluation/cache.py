"""Results cached in a run's folder, named after what they are results of, and computed once.

A file's name is a hash of its cache key: the settings and the checksums of weights and images. So a run that was
trained anew, or a setting that was changed, finds nothing, and what is done is never done again. There are two kinds of
files: tensors (a part that is computed as a whole) and JSON lines (a part that grows batch by batch). Where nothing can
be written (runs of somebody else, a full disk) results are cached for this process alone, which is logged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from scs_study.system import files
from scs_study.system.console import say, say_once
from scs_study.system.tensors import Unreadable, load_tensors, quarantine, save_tensors

Key = Mapping[str, Any]
"""Everything that a result depends on, as JSON."""
Result = tuple[Mapping[str, Tensor], Mapping[str, Any]]
"""Named tensors, and notes that JSON can hold."""
T = TypeVar("T")
_UNWRITTEN: dict[Path, Any] = {}
"""What this process has computed and could not write: a Result or the records of a file of lines."""


def cache_path(folder: Path, part: str, key: Key, suffix: str) -> Path:
    """Return the file of a part's result: `part` and 12 hex digits of the SHA-256 of its key's canonical JSON.

    folder: of one evaluation in a run's folder, such as runs/<run>/saliency.
    """
    canonical = json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return folder / f"{part}-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}{suffix}"


def load_result(folder: Path, part: str, key: Key) -> Result | None:
    """Return the cached tensors and notes of a part, None where there are none; a damaged file is quarantined."""
    path = cache_path(folder, part, key, ".safetensors")
    if path in _UNWRITTEN:
        found: Result = _UNWRITTEN[path]
        return found
    try:
        tensors, about = load_tensors(path)
        if about.get("facts") != key:
            raise ValueError(f"{path} is damaged: it holds the result of other settings than its name says")
        return tensors, about["notes"]
    except FileNotFoundError:
        return None
    except Unreadable as error:
        say(f"{error}; computing it again", error=True)
    except ValueError as error:
        _quarantine(path, error)
    return None


def store_result(folder: Path, part: str, key: Key, result: Result) -> None:
    """Write the tensors and notes of a part."""
    path = cache_path(folder, part, key, ".safetensors")
    tensors, notes = result
    try:
        save_tensors(path, tensors, {"facts": dict(key), "notes": dict(notes)})
    except OSError as error:
        _cache_in_memory(path, result, error)


def read_records(path: Path, key: Key, parse: Callable[[dict[str, Any]], T]) -> list[T]:
    """Return the records of a file of lines, [] where there is none.

    parse: makes a record of a line, and raises TypeError, KeyError or ValueError for one that is damaged.

    Raises:
        ValueError: naming the file, and the line, when it is damaged; Unreadable when it may not be read.
    """
    if path in _UNWRITTEN:
        return list(_UNWRITTEN[path])
    try:
        lines = files.read_lines(path)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror or error}") from error
    if not lines and not path.exists():
        return []
    if not lines or lines[0] != _header(key):
        raise ValueError(f"{path} is damaged: its first line is not the evaluation that its name stands for")
    records = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            records.append(parse(line))
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{path}, line {number}, is damaged: {error}") from error
    return records


def resume_records(path: Path, key: Key, parse: Callable[[dict[str, Any]], T]) -> list[T]:
    """Return the records of a file that more can be appended to, made where it is missing.

    A damaged file is quarantined, which is logged, and its part begins anew.
    """
    records: list[T] = []
    try:
        records = read_records(path, key, parse)
    except Unreadable as error:
        say(f"{error}; computing it again", error=True)
        _UNWRITTEN[path] = []
    except ValueError as error:
        if not _quarantine(path, error):
            _UNWRITTEN[path] = []
    if path not in _UNWRITTEN and not path.exists():
        try:
            files.write_text(path, json.dumps(_header(key), separators=(",", ":")) + "\n")
        except OSError as error:
            _cache_in_memory(path, list(records), error)
    return records


def append_record(path: Path, key: Key, record: T, line: Mapping[str, Any], parse: Callable[..., T]) -> None:
    """Append a record to a file that `resume_records` has opened. line: the record as JSON."""
    if path not in _UNWRITTEN:
        try:
            files.append_line(path, line)
            return
        except OSError as error:
            _cache_in_memory(path, read_records(path, key, parse), error)
    _UNWRITTEN[path].append(record)


def _header(key: Key) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(json.dumps(key))
    return header


def _quarantine(path: Path, error: ValueError) -> bool:
    """Rename a damaged file, log it, and return whether it is out of the way."""
    try:
        where, moved = f"kept as {quarantine(path).name}", True
    except OSError as refused:
        where, moved = f"left there ({refused.strerror or refused})", False
    say(f"{error}; {where}, computing it again", error=True)
    return moved


def _cache_in_memory(path: Path, value: object, error: OSError) -> None:
    _UNWRITTEN[path] = value
    where = f"{path.parent.name}: nothing can be cached in the folders in {path.parents[2]} ({error.strerror or error})"
    say_once(f"{where}: the next time it is computed again", error=True)
