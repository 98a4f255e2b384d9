"""What an attack did to each image, cached in the run's folder batch by batch: an evaluation resumes at the next batch.

A file is named after the attack and a hash of everything its numbers depend on, as a run's folder is; its first line
says what that was. Every further line is a batch with a checksum of its own.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scs_study.evaluation import cache

FOLDER = "robustness"
"""Below a run's folder."""
FORMAT = 1
"""Of the evaluation; another number when the same settings would give other results."""

FirstEps = NDArray[np.int64]
"""For each image the index of the smallest radius at which the attack succeeded, evaluate.NEVER where it did not."""
BatchKey = tuple[int, int, int]
"""A batch's first image, its number of images, and the checksum of its attack mask."""


@dataclass(frozen=True)
class Batch:
    """One batch of an evaluation.

    first, count: which images, in the order of classifier.balanced. mask: checksum of which were to be attacked at
    which radius. values: one number an image: its first successful eps, as in FirstEps, or the class predicted for it.
    gradients, forwards: images classified with and without a gradient; seconds: how long it took; device: where. The
    last four say what it cost and are no part of the result.
    """

    first: int
    count: int
    mask: int
    values: tuple[int, ...]
    gradients: int
    forwards: int
    seconds: float
    device: str

    @property
    def key(self) -> BatchKey:
        """What the batch is found by."""
        return self.first, self.count, self.mask


def path_of(run: Path, identity: Mapping[str, Any]) -> Path:
    """Return the file of an evaluation, in the run's folder.

    identity: everything the evaluation depends on; "attack" is its name.
    """
    return cache.cache_path(run / FOLDER, str(identity["attack"]), _key(identity), ".jsonl")


def read(run: Path, identity: Mapping[str, Any]) -> dict[BatchKey, Batch]:
    """Return the batches that an evaluation has so far, {} before its first.

    Raises:
        ValueError: naming the file when it is damaged.
    """
    return _by_key(cache.read_records(path_of(run, identity), _key(identity), _parse))


def resume(run: Path, identity: Mapping[str, Any]) -> dict[BatchKey, Batch]:
    """Return the batches there are, in a file that more can be added to; a damaged one is quarantined."""
    return _by_key(cache.resume_records(path_of(run, identity), _key(identity), _parse))


def add(run: Path, identity: Mapping[str, Any], batch: Batch) -> None:
    """Append a batch to its evaluation's file."""
    cache.append_record(path_of(run, identity), _key(identity), batch, _line(batch), _parse)


def mask_checksum(mask: NDArray[np.bool_]) -> int:
    """Return the checksum of an attack mask, bool (radii, images): other images or radii are another evaluation."""
    return zlib.crc32(repr(mask.shape).encode() + np.packbits(mask).tobytes())


def spans(images: int, batch: int) -> Sequence[tuple[int, int]]:
    """Return (first, count) of each batch of `images` images."""
    return [(first, min(batch, images - first)) for first in range(0, images, batch)]


def _key(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {"format": FORMAT, **identity}


def _by_key(batches: Sequence[Batch]) -> dict[BatchKey, Batch]:
    return {batch.key: batch for batch in batches}


def _line(batch: Batch) -> dict[str, Any]:
    # "visit" and "fell" are what files of the first format call mask and values.
    costs = {name: getattr(batch, name) for name in ("gradients", "forwards", "seconds", "device")}
    plain = {"first": batch.first, "count": batch.count, "visit": batch.mask, "fell": batch.values}
    return {**plain, **costs, "checksum": _checksum(batch)}


def _parse(line: dict[str, Any]) -> Batch:
    """Return the batch of a line of the file. Raises TypeError, KeyError or ValueError for a damaged one."""
    rest = {key: value for key, value in line.items() if key not in ("checksum", "visit", "fell")}
    batch = Batch(mask=line["visit"], values=tuple(line["fell"]), **rest)
    if line.get("checksum") != _checksum(batch) or len(batch.values) != batch.count:
        raise ValueError("it does not match its checksum")
    return batch


def _checksum(batch: Batch) -> int:
    return zlib.crc32(json.dumps([*batch.key, *batch.values]).encode())
