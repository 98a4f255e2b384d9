"""Small files that are never seen half-written: temporary name, fsync, rename; and reading them on a shared disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

REPLACED = 10.0
"""Seconds for which a network file system may go on answering that a file is stale; GlusterFS and NFS do for 1 to 3."""
_Found = TypeVar("_Found")


def fresh(look: Callable[[], _Found]) -> _Found:
    """Return what `look` gives, asked again while its file is stale: another node of a shared disk has just replaced
    it.

    Raises as `look`; OSError (ESTALE) when it still is after REPLACED seconds.
    """
    deadline = time.monotonic() + REPLACED
    while True:
        try:
            return look()
        except OSError as error:
            if error.errno != errno.ESTALE or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file. Raises OSError."""
    return fresh(path.read_bytes)


LONGEST = 200
"""Bytes of a file's name that user's words are part of: file systems take 255, and some are for suffixes."""
LONGEST_PATH = 3500
"""Bytes of the path of a folder: Linux takes 4096, and files lie below it."""


def shortened(name: str, most: int = LONGEST) -> str:
    """Return `name` where it has at most `most` bytes; else its beginning and a hash of all of it, as long as that."""
    if len(name.encode(errors="surrogateescape")) <= most:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:12]
    return name.encode(errors="surrogateescape")[: most - 13].decode(errors="ignore") + f"-{digest}"


def check_path(key: str, path: Path) -> None:
    """Raise ValueError in one sentence for a path that no file system takes; `key` is the setting that names it."""
    longest = max(path.parts, key=lambda part: len(os.fsencode(part)), default="")
    if "\0" in str(path):
        raise ValueError(f"{key}: a path cannot hold the character 0")
    if len(os.fsencode(longest)) > 255:
        raise ValueError(f"{key}: the name {longest[:40]}... has {len(os.fsencode(longest))} bytes; 255 is the most")
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ValueError(f"{key}={str(path)[:40]}...: {len(os.fsencode(path))} bytes are too long for a path")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, which holds what it held before if anything goes wrong (a full disk, a kill)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile's: that one is for its owner alone, and whom a file is for is for the umask to say.
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")  # 40 letters have at most 160 bytes
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error  # by the name that people know
        raise


def check_writable(folder: Path) -> None:
    """Raise OSError when nothing can be written into the folder (it is made where it is not there yet)."""
    probe = folder / f".probe-{os.getpid()}.tmp"
    try:
        write_bytes(probe, b"probe")
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, as `write_bytes` does. Non-finite numbers are refused: JSON has none."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the value in a JSON file. Raises ValueError naming the file when it is damaged, OSError when it is not
    there.
    """
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append `value` to `path` as one line of JSON, down to the disk. A half-written line before it is taken out."""
    append(path, (json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n").encode())


def append(path: Path, data: bytes) -> None:
    """Append whole lines as they are, as `append_line` does."""
    with fresh(lambda: path.open("ab+", buffering=0)) as file:
        end = file.seek(0, os.SEEK_END)
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            # Its writer was killed, or the disk was full; a line that is continued would be damaged for good.
            file.seek(0)
            end = file.read().rfind(b"\n") + 1
            file.truncate(end)
        if file.write(data) != len(data):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a JSON-lines file, [] where there is none.

    The writer may be killed in the middle of a line, so an unfinished last line is left out.
    Raises ValueError naming the file and the line when any other line is damaged.
    """
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return []
    lines = content.split(b"\n")[:-1]
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}, is damaged: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f"{path}, line {number}, is damaged: not a JSON object")
        records.append(record)
    return records
