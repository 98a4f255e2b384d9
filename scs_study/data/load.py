"""The one door through which a data set enters a run: found, decoded once, checked, cached."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from scs_study import tensors
from scs_study.config.schema import DataConfig
from scs_study.console import say, say_once
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

    Errors: DataError, in one sentence, for images that are missing, unreadable, damaged or not the data set's own.
    """
    if data.name == "digits":
        return load_digits()
    return load_known(KNOWN[data.name], root, cache, download)


def load_known(known: KnownSet, root: Path | None, cache: Path, download: bool) -> ImageSet:
    """Like `load_images`, for a data set that is read from files."""
    home = cache.parent
    try:
        if root is not None and not root.is_dir():
            raise DataError(
                f"data.root={root}: there is no such folder (data.root, or SCS_DATA_DIR, says where images are)"
            )
        source = find_source(known, root, home)
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be read: {error.strerror or error}") from error
    paths = [place / f"{known.name}-{CACHE_VERSION}.safetensors" for place in (cache, *_own_cache())]
    for path in paths:
        if (images := _read_cache(known, path, source)) is not None:
            return images
    images = _read_source(known, source or _download(known, root, home, download))
    _keep(known, images, paths)
    return images


def _own_cache() -> list[Path]:
    """The folder of this user's own decoded images, for a checkout that is shared and read-only; [] without a home."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache")).expanduser()
    return [caches / "scs_study"] if caches.is_absolute() else []


def _keep(known: KnownSet, images: ImageSet, paths: Sequence[Path]) -> None:
    """None; the decoded images are in the first of the files that can be written, which is said if it is a later one.

    Where none can, they are decoded again next time, and that is said.
    """
    notes = {"origin": images.origin, "digest": images.digest, "classes": images.classes}
    reasons = []
    for path in paths:
        try:
            tensors.save_tensors(path, _named(images), notes)
        except OSError as error:
            reasons.append(f"not in {path.parent}: {error.strerror or error}")
            continue
        if reasons:
            say(f"the decoded images of {known.title} are kept in {path.parent} ({'; '.join(reasons)})", error=True)
        return
    said = (
        f"the decoded images of {known.title} cannot be kept ({'; '.join(reasons)}): every process decodes them again"
    )
    say_once(said, error=True)


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
    except tensors.Unreadable as error:
        say_once(f"{error}; decoding again", error=True)
        return None
    except ValueError as error:
        try:
            aside = f"kept as {tensors.set_aside(path)}"
        except OSError as refused:
            aside = f"left there ({refused.strerror or refused})"
        say_once(f"{error}; {aside}, decoding again", error=True)
        return None
    # With a known digest the content speaks for itself. Without one, the cache stands only for the files it came from.
    stale = notes["digest"] != known.digest if known.digest else source is not None and notes["origin"] != str(source)
    return None if stale else ImageSet(**loaded, classes=known.classes, digest=notes["digest"], origin=notes["origin"])


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
