"""CIFAR's pickles, in their folder or still in the archive in which they are downloaded."""

from __future__ import annotations

import hashlib
import pickle
import tarfile
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scs_study.data.image_set import DataError, Labels, Split

if TYPE_CHECKING:  # torchvision takes seconds to import, which only a run that reads its files should pay
    from torchvision.datasets import CIFAR10

ARCHIVES = (".tar.gz", ".tgz", ".tar")
SIDE, CHANNELS = 32, 3
"""Of the images in the pickles: each a row of 3072 bytes, channel by channel."""


def find_cifar(layout: str, archive: str, pickles: Sequence[str], place: Path) -> Path | None:
    """Return the folder of pickles, complete or not, or the archive that `place` is or holds; None without one.

    layout, archive, pickles: the names of the folder, of the archive and of the files.
    """
    if place.is_file():
        return place if place.name.lower().endswith(ARCHIVES) else None
    if (place / layout).is_dir():
        return place / layout
    # Two of them: CIFAR-100's are called train, test and meta, and anything may be called that.
    if sum((place / name).is_file() for name in pickles) >= 2:
        return place
    stems = (archive.removesuffix(ARCHIVES[0]), layout)
    found = [place / f"{stem}{suffix}" for stem in stems for suffix in ARCHIVES]
    return next((path for path in found if path.is_file()), None)


def read_cifar(files: type[CIFAR10], source: Path, classes: Sequence[str]) -> tuple[Split, Split]:
    """Return the training and the test split of what `find_cifar` found, in the order of the pickles.

    classes: the names that the pickles must have for their labels.
    Raises DataError naming the file that is missing or damaged. Nothing is unpickled before its md5 sum is right.
    """
    contents = _unpacked(source, _sums(files)) if source.is_file() else None
    pickles: dict[str, dict[str, Any]] = {}
    for name, md5 in _sums(files).items():
        if contents is None:
            try:
                content = (source / name).read_bytes()
            except FileNotFoundError as error:
                raise DataError(
                    f"{source / name} is missing: unpack the whole archive again, or remove {source}"
                ) from error
        elif name in contents:
            content = contents[name]
        else:
            raise DataError(f"{source} has no {name}: it is not {files.filename}, or only a part of it")
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            raise DataError(f"{source / name} is damaged (its md5 sum is not {md5}): unpack or download it again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # these pickles of numpy 1 have flags that newer versions deprecate
            pickles[name] = pickle.loads(content, encoding="latin1")
    names = pickles[files.meta["filename"]][files.meta["key"]]
    if list(names) != list(classes):
        raise DataError(f"{source} has other classes than {files.filename}: {', '.join(map(str, names))}")
    return _split(pickles, files.train_list), _split(pickles, files.test_list)


def _sums(files: type[CIFAR10]) -> dict[str, str]:
    """The md5 sums of the files, by name."""
    listed = [*files.train_list, *files.test_list, [files.meta["filename"], files.meta["md5"]]]
    return {str(name): str(md5) for name, md5 in listed}


def _unpacked(archive: Path, names: dict[str, str]) -> dict[str, bytes]:
    """The wanted files of an archive, whatever folder they are in there."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                if name in names and (content := tar.extractfile(member)) is not None:
                    found[name] = content.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{archive} cannot be unpacked ({reason}): download it again") from error
    return found


def _split(pickles: dict[str, dict[str, Any]], listed: Sequence[Sequence[str]]) -> Split:
    parts = [pickles[name] for name, *_ in listed]
    pixels = np.concatenate([np.asarray(part["data"], np.uint8) for part in parts])
    labels: Labels = np.concatenate(
        [np.asarray(part.get("labels", part.get("fine_labels")), np.int64) for part in parts]
    )
    return pixels.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1), labels
