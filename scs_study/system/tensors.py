"""Named tensors on disk: safetensors files, written whole or not at all, with a checksum verified on reading."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scs_study.system import files


class Unreadable(ValueError):
    """A file that is there and that this user may not read; what it holds may be as good as ever."""


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256, in hex, of names, types, shapes and bytes, independent of the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any] | None = None) -> str:
    """Return the checksum of what was written: `tensors`, and `notes` as JSON in the file's header."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    total = checksum(plain)
    # One entry: safetensors writes several in random order, and equal tensors shall give equal files.
    header = {"about": json.dumps({"checksum": total, "notes": notes or {}}, allow_nan=False)}
    files.write_bytes(path, safetensors.torch.save(plain, header))
    return total


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file, on the CPU, and its notes.

    Raises ValueError naming the file when it is damaged, Unreadable (one of them) when it may not be read,
    FileNotFoundError when there is none.
    """
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        about = _about(path, file.metadata())
    if about["checksum"] != checksum(tensors):
        raise ValueError(f"{path} is damaged: its content does not match its checksum")
    return tensors, about["notes"]


def load_notes(path: Path) -> dict[str, Any]:
    """Return the notes of a file alone, its tensors unread and unchecked. Raises as `load_tensors`."""
    with _opened(path) as file:
        return dict(_about(path, file.metadata())["notes"])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        files.fresh(lambda: path.open("rb")).close()  # safetensors says of what it cannot open that it is not there
    except PermissionError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from error
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _about(path: Path, header: Mapping[str, str] | None) -> dict[str, Any]:
    try:
        about = json.loads((header or {})["about"])
        return {"checksum": about["checksum"], "notes": dict(about["notes"])}
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} is damaged: its header was not written by this project") from error


def quarantine(path: Path) -> Path:
    """Return the new name of a damaged file: it is kept for whoever wants to look, and no longer in the way."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    with contextlib.suppress(FileNotFoundError):  # another process has just done the same
        path.rename(aside)
    return aside
