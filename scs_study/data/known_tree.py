"""Known data sets as a folder per class: FOLDER/{train,test}/<class>/*.png (or JPEG)."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from scs_study.data.datasets import DatasetSpec, check_count
from scs_study.data.image_set import DataError, Pixels, Split
from scs_study.system.foreign_files import is_foreign

SPLITS = ("train", "test")
SUFFIXES = (".png", ".jpg", ".jpeg")
LOSSLESS_MODES = ("1", "L", "P", "RGB")
"""Pillow's modes that become RGB without losing anything: no transparency, no 16-bit grey."""


def has_class_folders(folder: Path) -> bool:
    """Return whether train/ or test/ in a folder has folders in it, whatever they are called."""
    return any(_folders(folder / split) for split in SPLITS if (folder / split).is_dir())


def has_tree(known: DatasetSpec, folder: Path) -> bool:
    """Return whether a folder looks like a tree of this data set, complete or not: it has a split, and its name or the
    name of a class says which set that is. (One folder may be looked at for several sets.)
    """
    splits = [folder / split for split in SPLITS if (folder / split).is_dir()]
    classes = [path.name for split in splits for path in _folders(split)]
    return bool(splits) and (folder.name == known.name or any(known.label(name) is not None for name in classes))


def read_tree(known: DatasetSpec, folder: Path) -> tuple[Split, Split]:
    """Return the training and the test split of a tree, in the order of the labels.

    Class folders are named by label (0..9) or by class. Other files than images are left alone.
    Raises DataError naming the file or folder that is missing, superfluous, unreadable or of the wrong size.
    """
    files = [
        [_class_files(known, folder, split, label, count) for label, count in enumerate(counts)]
        for split, counts in (("train", known.train_counts), ("test", known.test_counts))
    ]
    return _read_split(known, files[0]), _read_split(known, files[1])


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_foreign(path))


def _class_files(known: DatasetSpec, folder: Path, split: str, label: int, count: int) -> list[Path]:
    """The paths of one class of one split, all of them and no others."""
    name = known.classes[label]
    if not (folder / split).is_dir():
        raise DataError(f"{folder / split} is missing: {known.title} needs {folder}/train and {folder}/test")
    folders = _folders(folder / split)
    for path in folders:
        if known.label(path.name) is None:
            raise DataError(f"{path} is not a class of {known.title}, which has {', '.join(known.classes)}")
    named = [path for path in folders if known.label(path.name) == label]
    if not named:
        raise DataError(
            f"{folder / split} has no folder for the class {name} of {known.title} (name it {label} or by its name)"
        )
    if len(named) > 1:
        raise DataError(
            f"{named[0]} and {named[1]} are both the class {name} of {known.title}: one of them is too many"
        )
    files = sorted(path for path in named[0].iterdir() if path.suffix.lower() in SUFFIXES and not is_foreign(path))
    check_count(known, name, len(files), count, str(named[0]))
    return files


def _read_split(known: DatasetSpec, files: list[list[Path]]) -> Split:
    labels = np.repeat(np.arange(len(files)), [len(of_class) for of_class in files])
    paths = [path for of_class in files for path in of_class]
    blocks = [paths[first : first + 500] for first in range(0, len(paths), 500)]
    # Threads hide the delays of a network's file system. They only read: images this small are decoded faster by one
    # thread than by several that take turns at Python's lock.
    with ThreadPoolExecutor(4) as pool:
        contents = pool.map(_read_block, blocks)
        pixels = [
            _decode(known, path, content)
            for block, read in zip(blocks, contents, strict=True)
            for path, content in zip(block, read, strict=True)
        ]
    return np.stack(pixels), labels


def _read_block(paths: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def _decode(known: DatasetSpec, path: Path, content: bytes) -> Pixels:
    """One image, uint8 (H, W) when the set is grey and (H, W, 3) otherwise."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            size, mode = image.size, image.mode
            pixels: Pixels = np.asarray(image if known.channels == 1 and mode == "L" else image.convert("RGB"))
    except Exception as error:  # a damaged file can make a decoder fail in any way
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{path} cannot be read as an image: {reason}") from error
    if size != (known.size, known.size):
        raise DataError(f"{path} is {size[0]}x{size[1]} pixels, but {known.title} has {known.size}x{known.size}")
    if mode not in LOSSLESS_MODES:
        kind = "grey" if known.channels == 1 else "RGB"
        raise DataError(f"{path} is of Pillow's mode {mode}, but {known.title} needs 8 bits of {kind}")
    if known.channels == 1 and pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            raise DataError(f"{path} has colours, but the images of {known.title} are grey")
        pixels = pixels[..., 0]
    return pixels
