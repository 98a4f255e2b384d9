"""The SHA-256 of many files, remembered with their size and times: a second look costs no reading."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scs_study.data.image_set import DataError
from scs_study.system import files

Stamp = tuple[int, int, int]
"""Size in bytes, and the times of the last change of content and of anything (mtime, ctime), in nanoseconds."""
SETTLED = 2 * 10**9
"""Nanoseconds. A file younger than this may change once more within the grain of its file system's clock."""
THREADS = 8


def file_hashes(paths: Sequence[Path], index: Path) -> list[str]:
    """Return the SHA-256, in hex, of every file.

    index: the JSON file that remembers them. A file is read again when its size or one of its times is another one than
    then: a change that keeps all three is not noticed. Where the index cannot be written, all files are read each time.
    Raises DataError naming a file that cannot be read.
    """
    known = _read(index)
    stamps = [_stamp(path) for path in paths]
    names = [str(path) for path in paths]
    todo = [n for n, (name, stamp) in enumerate(zip(names, stamps, strict=True)) if known.get(name, ())[:3] != stamp]
    found = {name: str(known[name][3]) for name in names if name in known}
    with ThreadPoolExecutor(THREADS) as pool:
        found |= zip([names[n] for n in todo], pool.map(_hash, [paths[n] for n in todo]), strict=True)
    now = time.time_ns()
    settled = {
        name: [*stamp, found[name]] for name, stamp in zip(names, stamps, strict=True) if now - max(stamp[1:]) > SETTLED
    }
    if todo and settled:
        with contextlib.suppress(OSError):
            files.write_text(index, json.dumps(settled))
    return [found[name] for name in names]


def _read(index: Path) -> dict[str, tuple[object, ...]]:
    try:
        content = json.loads(index.read_bytes())
        return {str(name): (*map(int, stamp), str(value)) for name, (*stamp, value) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none, or one that nobody can read: written anew
        return {}


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, for good
        raise DataError(f"{path} is no file, but a pipe, a socket or a device")
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
