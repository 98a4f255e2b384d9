"""The one place where a data set enters a run: found, decoded once, checked, cached."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from scs_study.config.schema import FOLDER, DataConfig
from scs_study.data.datasets import REGISTRY, DatasetSpec, check_content, check_split
from scs_study.data.digits import load_digits
from scs_study.data.download import address, download_files
from scs_study.data.image_set import DataError, ImageSet, canonical, grey, held_out, image_set, trimmed
from scs_study.data.own_images import load_own
from scs_study.data.sources import Source, find_source, forms, refuse_other_forms
from scs_study.system import tensors
from scs_study.system.console import say, say_once

CACHE_VERSION = 1
"""Part of the cache files' names; another number when the arrays that are cached change."""


def load_images(data: DataConfig, root: Path | None, cache: Path, download: bool) -> ImageSet:
    """Return the training and test images of `data.name`, on the CPU, the same whatever files they come from.

    root: what has the images (data.root, SCS_DATA_DIR): a tree, {train,test}/<class>/*.png (or JPEG), CIFAR's archive,
    or the folder with CIFAR's pickles or MNIST's files (data/sources.py); or a folder that holds one of them, by itself
    or in a folder named after the data set. The folder that `cache` is in is looked at after it, and is where downloads
    go; with a root, nothing is downloaded.
    cache: the folder of the decoded images; they are decoded once, checked whenever they are read, and decoded again,
    with a word on stderr, when they are damaged. download: whether what is nowhere to be found is fetched with
    torchvision; workers say no. The bundled digits need none of these.

    Raises DataError, in one sentence, for images that are missing, unreadable, damaged or not the data set's own.
    """
    if data.name == FOLDER:
        return load_own(data, root, cache)
    images = load_digits() if data.name == "digits" else load_known(REGISTRY[data.name], root, cache, download)
    images = grey(images) if data.channels == 1 else images
    images = trimmed(images, data.trim) if data.trim else images
    if data.test_share is None:
        return images
    assert data.split_seed is not None
    return held_out(images, data.test_share, data.split_seed)


def load_known(known: DatasetSpec, root: Path | None, cache: Path, download: bool) -> ImageSet:
    """Like `load_images`, for a data set that is read from files."""
    home = cache.parent
    with _readable():
        if root is not None and not root.exists():
            raise DataError(
                f"data.root={root}: there is no such folder (data.root, or SCS_DATA_DIR, says where images are)"
            )
        source = find_source(known, [home] if root is None else [root, home])
    paths = [place / f"{known.name}-{CACHE_VERSION}.safetensors" for place in (cache, *_own_cache())]
    for path in paths:
        if (images := _read_cache(known, path, source.place if source else None, root)) is not None:
            return images
    images = _read_source(known, source or _download(known, root, home, download))
    _write_cache(known, images, paths)
    return images


def _own_cache() -> list[Path]:
    """The folder of this user's own decoded images, for a checkout that is shared and read-only; [] without a home."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return [caches / "scs_study"] if caches.is_absolute() else []


def _write_cache(known: DatasetSpec, images: ImageSet, paths: Sequence[Path]) -> None:
    """Keep the decoded images in the first of the files that can be written, and say so if it is a later one.

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
    said = f"the decoded images of {known.title} cannot be kept ({'; '.join(reasons)})"
    say_once(f"{said}: every process decodes them again", error=True)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """A context in which a file or folder that cannot be read is the user's to mend."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error


def _read_source(known: DatasetSpec, source: Source) -> ImageSet:
    """The images of a source, checked against everything known about the data set."""
    with _readable():
        splits = source.read()
    for split, counts, name in zip(splits, (known.train_counts, known.test_counts), ("training", "test"), strict=True):
        check_split(known, split, counts, f"the {name} set in {source.place}")
    images = image_set(canonical(*splits[0]), canonical(*splits[1]), known.classes, str(source.place))
    check_content(known, images)
    return images


def _read_cache(known: DatasetSpec, path: Path, source: Path | None, root: Path | None) -> ImageSet | None:
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
            aside = f"kept as {tensors.quarantine(path)}"
        except OSError as refused:
            aside = f"left there ({refused.strerror or refused})"
        say_once(f"{error}; {aside}, decoding again", error=True)
        return None
    # With a known digest the content speaks for itself. Without one, the cache stands only for the files it came from.
    try:
        images = ImageSet(**loaded, classes=known.classes, digest=notes["digest"], origin=notes["origin"])
    except (KeyError, TypeError):  # another of this project's files, put here under that name
        return None
    if known.digest:
        stale = images.digest != known.digest
    else:
        stale = root is not None if source is None else images.origin != str(source)
    return None if stale else images


def _download(known: DatasetSpec, root: Path | None, home: Path, download: bool) -> Source:
    """The freshly downloaded files. Raises DataError that says what to do instead.

    Nothing is downloaded for who said where the images are: 170 MB are no answer to a wrong path.
    """
    looked = " and ".join(str(folder) for folder in (root, home) if folder is not None)
    with _readable():
        refuse_other_forms(known, [root] if root is not None else [home / known.name])
    remedy = f"{forms(known)}, there, or where data.root (SCS_DATA_DIR) says"
    if root is not None:
        raise DataError(
            f"data.root={root}: no {known.title} in {looked}; {forms(known)}, or leave data.root (SCS_DATA_DIR) out to "
            f"have it downloaded ({known.download})"
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
    source = find_source(known, [home])
    if source is None:
        raise DataError(f"{known.title}: what was downloaded is not there; {remedy}")
    return source


def _named(images: ImageSet) -> dict[str, Tensor]:
    return {
        "train_images": images.train_images,
        "train_labels": images.train_labels,
        "test_images": images.test_images,
        "test_labels": images.test_labels,
    }
