"""The one door through which a data set enters a run: found, decoded once, checked, cached."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from torch import Tensor

from scs_study import tensors
from scs_study.config.schema import DataConfig
from scs_study.data.datasets import KNOWN, KnownSet, check_content, check_split
from scs_study.data.digits import load_digits
from scs_study.data.image_folder import has_tree, read_tree
from scs_study.data.image_set import DataError, ImageSet, canonical, image_set
from scs_study.data.torchvision_files import address, download_files, has_files, read_files

CACHE_VERSION = 1
"""Part of the cache files' names; another number when the arrays that are cached change."""


def load_images(data: DataConfig, root: Path | None, cache: Path, download: bool) -> ImageSet:
    """The training and test images of `data.name`, on the CPU, the same whatever files they come from.

    root: a folder with images (data.root, SCS_DATA_DIR): root/<name>/{train,test}/<class>/*.png or
    root/{train,test}/<class>/*.png (or JPEG), or torchvision's cifar-10-batches-py, MNIST/raw or FashionMNIST/raw in
    root or root/<name>. The folder that `cache` is in is looked at after it, and is where downloads go.
    cache: the folder of the decoded images; they are decoded once, checked whenever they are read, and decoded again,
    with a word on stderr, when they are damaged. download: whether what is nowhere to be found is fetched with
    torchvision; workers say no. The bundled digits need none of these.

    Errors: DataError, in one sentence, for images that are missing, damaged or not the data set's own.
    """
    if data.name == "digits":
        return load_digits()
    return load_known(KNOWN[data.name], root, cache, download)


def load_known(known: KnownSet, root: Path | None, cache: Path, download: bool) -> ImageSet:
    """Like `load_images`, for a data set that is read from files."""
    home = cache.parent
    if root is not None and not root.is_dir():
        raise DataError(
            f"data.root={root}: there is no such folder (data.root, or SCS_DATA_DIR, says where images are)"
        )
    source = find_source(known, root, home)
    path = cache / f"{known.name}-{CACHE_VERSION}.safetensors"
    images = _read_cache(known, path, source)
    if images is None:
        images = _read_source(known, source or _download(known, root, home, download))
        notes = {"origin": images.origin, "digest": images.digest, "classes": images.classes}
        try:
            tensors.save_tensors(path, _named(images), notes)
        except OSError as error:
            raise DataError(f"{path}: the decoded images of {known.title} cannot be kept there: {error}") from error
    return images


def find_source(known: KnownSet, root: Path | None, home: Path) -> Path | None:
    """The folder that holds the data set's tree or torchvision's folder of it, complete or not; None without one."""
    for base in [home] if root is None else [root, home]:
        for folder in (base / known.name, base):
            if has_tree(known, folder) or has_files(known, folder):
                return folder.resolve()
    return None


def _read_source(known: KnownSet, folder: Path) -> ImageSet:
    """The images of a tree or of torchvision's files, checked against everything known about the data set."""
    try:
        splits = read_tree(known, folder) if has_tree(known, folder) else read_files(known, folder)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
    for split, counts, name in zip(splits, (known.train_counts, known.test_counts), ("training", "test"), strict=True):
        check_split(known, split, counts, f"the {name} set in {folder}")
    images = image_set(canonical(*splits[0]), canonical(*splits[1]), known.classes, str(folder))
    check_content(known, images)
    return images


def _read_cache(known: KnownSet, path: Path, source: Path | None) -> ImageSet | None:
    """The images of a cache file, None where there is none or it holds something else; a damaged one is set aside."""
    try:
        loaded, notes = tensors.load_tensors(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        with contextlib.suppress(FileNotFoundError):  # another process has set it aside already
            print(f"{error}; kept as {tensors.set_aside(path)}, decoding again", file=sys.stderr, flush=True)
        return None
    # With a known digest the content speaks for itself. Without one, the cache stands only for the files it came from.
    try:
        images = ImageSet(**loaded, classes=known.classes, digest=notes["digest"], origin=notes["origin"])
    except (KeyError, TypeError):  # another of this project's files, put here under that name
        return None
    stale = images.digest != known.digest if known.digest else source is not None and images.origin != str(source)
    return None if stale else images


def _download(known: KnownSet, root: Path | None, home: Path, download: bool) -> Path:
    """The folder with the freshly downloaded files. Errors: DataError that says what to do instead."""
    looked = " and ".join(str(folder) for folder in (root, home) if folder is not None)
    remedy = (
        f"put {known.title} there, as torchvision's {known.layout} or as {known.name}/{{train,test}}/<class>/*.png, "
        f"or set data.root (SCS_DATA_DIR) to the folder that has it"
    )
    if not download:
        raise DataError(f"data.name={known.name}: no {known.title} in {looked}; {remedy}")
    target = home / known.name
    try:
        download_files(known, target)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"data.name={known.name}: no {known.title} in {looked}, and its download from {address(known)} failed "
            f"({reason}); {remedy}"
        ) from error
    return target.resolve()


def _named(images: ImageSet) -> dict[str, Tensor]:
    return {
        "train_images": images.train_images,
        "train_labels": images.train_labels,
        "test_images": images.test_images,
        "test_labels": images.test_labels,
    }
