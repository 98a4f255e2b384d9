"""What an attack did to each image, kept in the run's folder batch by batch: an evaluation resumes at the next batch.

A file is named after the attack and a hash of everything its numbers depend on, as a run's folder is; its first line
says what that was. Every further line is a batch with a checksum of its own.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scs_study.system import files
from scs_study.system.console import say_once
from scs_study.system.tensors import Unreadable, set_aside

FOLDER = "robustness"
"""Below a run's folder."""
FORMAT = 1
"""Of the evaluation; another number when the same settings would give other results."""

Fell = NDArray[np.int64]
"""For each image the index of the smallest radius at which it fell, evaluate.NEVER where it did not: (images,)."""
Key = tuple[int, int, int]
"""A batch's first image, its number of images, and the checksum of which of them were to be visited."""


_UNWRITTEN: dict[Path, dict[Key, Batch]] = {}
"""By file, all batches of an evaluation of which this process could not write some (runs of somebody else)."""


@dataclass(frozen=True)
class Batch:
    """One batch of an evaluation.

    first, count: which images, in the order of images.balanced. visit: checksum of which were to be visited at which
    radius. fell: as Fell. gradients, forwards: images classified with and without a gradient; seconds: how long it
    took; device: where. The last four say what it cost and are no part of the result.
    """

    first: int
    count: int
    visit: int
    fell: tuple[int, ...]
    gradients: int
    forwards: int
    seconds: float
    device: str

    @property
    def key(self) -> Key:
        """What the batch is found by."""
        return self.first, self.count, self.visit


def path_of(run: Path, identity: Mapping[str, Any]) -> Path:
    """The file of an evaluation, in the run's folder. identity: everything it depends on; "attack" is its name."""
    canonical = json.dumps({"format": FORMAT, **identity}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return run / FOLDER / f"{identity['attack']}-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}.jsonl"


def read(run: Path, identity: Mapping[str, Any]) -> dict[Key, Batch]:
    """The batches that an evaluation has so far, {} before its first. Errors: ValueError naming a damaged file."""
    path = path_of(run, identity)
    if path in _UNWRITTEN:
        return dict(_UNWRITTEN[path])
    try:
        lines = files.read_lines(path)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror or error}") from error
    if not lines and not path.exists():
        return {}
    if not lines or lines[0] != _header(identity):
        raise ValueError(f"{path} is damaged: its first line is not the evaluation that its name stands for")
    batches = {}
    for number, line in enumerate(lines[1:], start=2):
        checksum = line.pop("checksum", None)
        try:
            batch = Batch(**{**line, "fell": tuple(line["fell"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"{path}, line {number}, is damaged: {error}") from error
        if checksum != _checksum(batch) or len(batch.fell) != batch.count:
            raise ValueError(f"{path}, line {number}, is damaged: it does not match its checksum")
        batches[batch.key] = batch
    return batches


def resume(run: Path, identity: Mapping[str, Any]) -> tuple[dict[Key, Batch], str | None]:
    """The batches there are, in a file that more can be added to, and a sentence where a damaged one was set aside."""
    path, sentence, batches = path_of(run, identity), None, {}
    try:
        batches = read(run, identity)
    except Unreadable as error:
        sentence, _UNWRITTEN[path] = f"{error}; evaluated again", {}
    except ValueError as error:
        try:
            sentence = f"{error}; set aside as {set_aside(path).name}, and evaluated again"
        except OSError as refused:
            sentence = f"{error}; left there ({refused.strerror or refused}), and evaluated again"
            _UNWRITTEN[path] = {}
    if path not in _UNWRITTEN and not path.exists():
        try:
            files.write_text(path, json.dumps(_header(identity), separators=(",", ":")) + "\n")
        except OSError as error:
            _unwritten(run, identity, batches, error)
    return batches, sentence


def add(run: Path, identity: Mapping[str, Any], batch: Batch) -> None:
    """None; the batch is on the disk or, where nothing can be written, kept for this process alone, which is said."""
    path = path_of(run, identity)
    if path not in _UNWRITTEN:
        try:
            files.append_line(path, {**asdict(batch), "checksum": _checksum(batch)})
            return
        except OSError as error:
            _unwritten(run, identity, read(run, identity), error)
    _UNWRITTEN[path][batch.key] = batch


def _unwritten(run: Path, identity: Mapping[str, Any], batches: Mapping[Key, Batch], error: OSError) -> None:
    _UNWRITTEN[path_of(run, identity)] = dict(batches)
    where = f"robustness: nothing can be kept in the folders in {run.parent} ({error.strerror or error})"
    say_once(f"{where}: the next time it is evaluated again", error=True)


def visit_checksum(visit: NDArray[np.bool_]) -> int:
    """The checksum of a visit, bool (radii, images): an evaluation of other images at other radii is another one."""
    return zlib.crc32(repr(visit.shape).encode() + np.packbits(visit).tobytes())


def spans(images: int, batch: int) -> Sequence[tuple[int, int]]:
    """(first, count) of each batch of `images` images."""
    return [(first, min(batch, images - first)) for first in range(0, images, batch)]


def _header(identity: Mapping[str, Any]) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **identity}))
    return header


def _checksum(batch: Batch) -> int:
    return zlib.crc32(json.dumps([*batch.key, *batch.fell]).encode())
