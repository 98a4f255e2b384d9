"""The images of a folder as a data set: decoded once, kept beside the other decoded images, read again in no time."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from scs_study.config.schema import DataConfig
from scs_study.data.fitting import SUFFIXES, fitted
from scs_study.data.image_folder import ImageFile, ImageFolder, Members, read_folder
from scs_study.data.image_set import DataError, ImageSet, Labels, Pixels
from scs_study.data.memory import check_memory
from scs_study.system import files, tensors
from scs_study.system.console import say_once

BLOCK = 256
"""Images that are decoded at a time; no more than these are in memory while a set is decoded."""
ABOUT = "about.json"
VERSION = 1
"""Part of what is kept; another number when the same settings give other pixels."""


def load_own(data: DataConfig, root: Path | None, cache: Path) -> ImageSet:
    """Return the images of data.name=folder as data.root has them, uint8 at data.image_size.

    root: the folder, None where only what is kept is wanted. cache: the folder of decoded images. What is kept there
    goes by the content of the folder and the settings; whether the folder has changed is seen by sizes and times of its
    files (file_hashes). The pixels stay on the disk and are mapped into memory.

    Raises DataError in one sentence for images that are missing, damaged, too many for the memory, or other ones than
    the run is named after.
    """
    folder = None
    if root is not None and root.exists():
        folder = read_folder(root, cache)
        if folder.digest != data.digest:
            raise DataError(
                f"data.root={root}: these images are not those that the run is named after ({folder.digest[:12]} "
                f"instead of {str(data.digest)[:12]}): something in the folder has changed since"
            )
    kept = cache / f"{data.images_key}-{VERSION}"
    images = _read(kept, data, root)
    if images is None:
        if folder is None:
            raise DataError(f"data.name=folder: there is no {root or 'data.root'}, and its decoded images are not kept")
        images = _decode(folder, data, kept)
    count = len(images.train_labels), len(images.test_labels)
    check_memory(f"the images of {images.origin}", count, data)
    return images


def _decode(folder: ImageFolder, data: DataConfig, kept: Path) -> ImageSet:
    splits = folder.split(data.test_share, data.split_seed, data.validation_share, data.judge)
    counts = [sum(map(len, split)) for split in splits]
    check_memory(f"the images of {folder.root}", (counts[0], counts[1]), data)
    if folder.others:
        count = f"{len(folder.others)} are" if len(folder.others) > 1 else "one is"
        say_once(
            f"note: of what lies in the classes of {folder.root}, {count} passed over, such as {folder.others[0]}: an "
            f"image's file ends in {', '.join(SUFFIXES)}",
            error=True,
        )
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=kept.parent, prefix=f".{kept.name}-"))
    except OSError as error:
        say_once(
            f"the decoded images of {folder.root} cannot be kept in {kept.parent} ({error.strerror}): every process "
            f"decodes them again",
            error=True,
        )
        arrays: dict[str, Tensor] = {}
        for name, split in zip(("train", "test"), splits, strict=True):
            arrays |= {f"{name}_images": torch.from_numpy(np.concatenate(list(_blocks(split, data))))}
            arrays |= {f"{name}_labels": torch.from_numpy(_labels(split))}
        return ImageSet(**arrays, classes=folder.classes, digest=tensors.checksum(arrays), origin=str(folder.root))
    try:
        for name, split in zip(("train", "test"), splits, strict=True):
            with (partial / f"{name}_images.npy").open("wb") as file:
                shape = (sum(map(len, split)), *data.size, data.channels)
                _write(file, shape, _blocks(split, data))
            np.save(partial / f"{name}_labels.npy", _labels(split))
        about = {"digest": tensors.checksum(_mapped(partial)), "classes": folder.classes, "origin": str(folder.root)}
        files.write_json(partial / ABOUT, about)
        partial.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was quicker, and its copy is as good
            partial.rename(kept)
    except OSError as error:
        raise DataError(f"{kept.parent}: the decoded images cannot be kept there: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    images = _read(kept, data, folder.root)
    if images is None:
        raise DataError(f"{kept}: the decoded images were damaged or removed as soon as they were written")
    return images


def _read(kept: Path, data: DataConfig, root: Path | None) -> ImageSet | None:
    """The images that are kept, None where there are none; damaged ones are set aside."""
    if not kept.is_dir():
        return None
    try:
        about = files.read_json(kept / ABOUT)
        arrays = _mapped(kept)
        shapes = {tuple(arrays[f"{split}_images"].shape[1:]) for split in ("train", "test")}
        if shapes != {(*data.size, data.channels)} or tensors.checksum(arrays) != about["digest"]:
            raise ValueError("its content does not match its checksum")
        classes, origin = tuple(about["classes"]), str(root or about["origin"])
    except (OSError, ValueError, LookupError, TypeError, EOFError) as error:
        aside = tensors.quarantine(kept)
        say_once(f"{kept} is damaged: {error}; kept as {aside}, decoding again", error=True)
        return None
    return ImageSet(**arrays, classes=classes, digest=str(about["digest"]), origin=origin)


def _mapped(folder: Path) -> dict[str, Tensor]:
    """The arrays of a folder, mapped: what is changed in memory never reaches the files."""
    names = ("train_images", "train_labels", "test_images", "test_labels")
    return {
        name: torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False)) for name in names
    }


def _write(file: BinaryIO, shape: tuple[int, ...], blocks: Iterator[Pixels]) -> None:
    """Write bytes as .npy, block by block. Not into a mapped file: a full disk would kill the process."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    file.write(header.getvalue())
    for block in blocks:
        file.write(block.tobytes())
    file.flush()
    os.fsync(file.fileno())


def _blocks(split: Members, data: DataConfig) -> Iterator[Pixels]:
    members = [file for of_class in split for file in of_class]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for first in range(0, len(members), BLOCK):
            yield np.stack(list(pool.map(lambda file: _pixels(file, data), members[first : first + BLOCK])))


def _pixels(file: ImageFile, data: DataConfig) -> Pixels:
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise DataError(f"{file.path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != file.hash:
        raise DataError(f"{file.path} was changed while the images were read: give the same command again")
    assert data.fit is not None
    return fitted(file.path, content, data.size, data.channels, data.fit)


def _labels(split: Members) -> Labels:
    return np.repeat(np.arange(len(split), dtype=np.int64), [len(of_class) for of_class in split])
