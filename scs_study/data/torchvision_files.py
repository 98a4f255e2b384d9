"""Data sets in the files that torchvision downloads and keeps."""

from __future__ import annotations

import http.client
import math
import shutil
import socket
import tarfile
import tempfile
import urllib.error
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scs_study.console import say
from scs_study.data.datasets import KnownSet
from scs_study.data.image_set import DataError, Labels, Pixels, Split

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

SILENCE = 60.0
"""Seconds without a byte after which a download has failed. CIFAR-10's host is slow at times, but not that slow."""


def has_files(known: KnownSet, folder: Path) -> bool:
    """Whether torchvision's folder of this data set is in `folder`, complete or not."""
    return (folder / known.layout).is_dir()


def read_files(known: KnownSet, folder: Path) -> tuple[Split, Split]:
    """The training and the test split of torchvision's files below `folder`, in their order.

    Errors: DataError naming the file that is missing or damaged.
    """
    from torchvision.datasets import CIFAR10

    where, files = folder / known.layout, known.reader()
    if issubclass(files, CIFAR10):
        return _read_cifar(files, folder, where)
    return _read_mnist(where, "train"), _read_mnist(where, "t10k")


def download_files(known: KnownSet, folder: Path) -> None:
    """None; torchvision's files of the data set are in `folder` afterwards, all of them, or the folder is as it was.

    Errors: OSError or RuntimeError as torchvision raises them, with the reason.
    """
    say(f"Downloading {known.title} ({known.download}) from {address(known)} to {folder}", error=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    before = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(SILENCE)
        known.reader()(str(partial), download=True)
        folder.mkdir(exist_ok=True)
        top = Path(known.layout).parts[0]
        try:
            (partial / top).rename(folder / top)
        except OSError:
            if not has_files(known, folder):  # otherwise another process was quicker, and its files are as good
                raise
    except urllib.error.HTTPError as error:
        error.close()  # the answer that it carries keeps its connection open
        raise
    except (http.client.HTTPException, tarfile.TarError, EOFError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    finally:
        socket.setdefaulttimeout(before)
        shutil.rmtree(partial, ignore_errors=True)


def address(known: KnownSet) -> str:
    """Where torchvision downloads the data set from (the first of its mirrors)."""
    from torchvision.datasets import CIFAR10

    files = known.reader()
    return str(files.url if issubclass(files, CIFAR10) else files.mirrors[0])


def _read_cifar(files: type[CIFAR10], folder: Path, where: Path) -> tuple[Split, Split]:
    from torchvision.datasets.utils import check_integrity

    sums = [*files.train_list, *files.test_list, [files.meta["filename"], files.meta["md5"]]]
    for name, md5 in sums:
        if not (where / name).is_file():
            raise DataError(f"{where / name} is missing: unpack the whole archive again, or remove {where}")
        if not check_integrity(str(where / name), md5):
            raise DataError(f"{where / name} is damaged (its md5 sum is not {md5}): unpack or download it again")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these pickles of numpy 1 have flags that newer versions deprecate
        train, test = files(str(folder), train=True), files(str(folder), train=False)
    return (train.data, np.asarray(train.targets, np.int64)), (test.data, np.asarray(test.targets, np.int64))


def _read_mnist(where: Path, prefix: str) -> Split:
    pixels = _read_idx(where / f"{prefix}-images-idx3-ubyte", 3)
    labels: Labels = _read_idx(where / f"{prefix}-labels-idx1-ubyte", 1).astype(np.int64)
    return pixels, labels


def _read_idx(path: Path, dimensions: int) -> Pixels:
    """The bytes of a file in MNIST's idx format: 0, 0, 8 (bytes), the number of dimensions, big-endian sizes, data.

    torchvision checks neither length nor type of these files, so they are read here.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: unpack {path.name}.gz there, or remove {path.parent}") from error
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        raise DataError(f"{path} is damaged: it does not begin like an idx file of bytes in {dimensions} dimensions")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, 4).tolist())
    if len(content) - start != math.prod(shape):
        raise DataError(f"{path} is damaged: it should hold {math.prod(shape)} bytes and holds {len(content) - start}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
