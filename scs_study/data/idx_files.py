"""MNIST's files of bytes ("idx"), as torchvision keeps them and as they are downloaded: compressed, or with a dot."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from scs_study.data.image_set import DataError, Labels, Pixels, Split

NAMES = tuple(f"{prefix}-{kind}-ubyte" for prefix in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


def find_idx(layout: str, place: Path) -> Path | None:
    """Return the folder with MNIST's files, complete or not, that `place` is or holds; None without one.

    layout: where torchvision keeps them below its root, such as MNIST/raw.
    """
    if (place / layout).is_dir():
        return place / layout
    folders = (place / Path(layout).name, place)
    return next((folder for folder in folders if any(_forms(folder, name) for name in NAMES)), None)


def read_idx(folder: Path) -> tuple[Split, Split]:
    """Return the training and the test split in a folder that `find_idx` found.

    Raises DataError naming the file that is missing or damaged.
    """
    train, train_labels, test, test_labels = (_read(folder, name) for name in NAMES)
    return (train, _whole(train_labels)), (test, _whole(test_labels))


def _forms(folder: Path, name: str) -> list[Path]:
    """The files there are of this name: as it is, with a dot (train-images.idx3-ubyte), in a folder of its own, .gz."""
    dotted = name.replace("-idx", ".idx")
    paths = [folder / each for each in (name, dotted, f"{name}/{name}", f"{dotted}/{dotted}", f"{name}/{dotted}")]
    return [path for path in (*paths, folder / f"{name}.gz", folder / f"{dotted}.gz") if path.is_file()]


def _read(folder: Path, name: str) -> Pixels:
    """The bytes of a file in idx format: 0, 0, 8 (bytes), the number of dimensions, big-endian sizes, data.

    torchvision checks neither length nor type of these files, so they are read here.
    """
    path = next(iter(_forms(folder, name)), None)
    if path is None:
        raise DataError(f"{folder / name} is missing: put it or {name}.gz there, or remove {folder}")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged: it cannot be decompressed ({error})") from error
    dimensions = 3 if "images" in name else 1
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        raise DataError(f"{path} is damaged: it does not begin like an idx file of bytes in {dimensions} dimensions")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, 4).tolist())
    if len(content) - start != math.prod(shape):
        raise DataError(f"{path} is damaged: it should hold {math.prod(shape)} bytes and holds {len(content) - start}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _whole(labels: Pixels) -> Labels:
    return labels.astype(np.int64)
