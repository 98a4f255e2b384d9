"""Anybody's own images: a folder for each class, below train/ and test/ or with a split by settings."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scs_study.data.file_hashes import file_hashes
from scs_study.data.fitting import SUFFIXES
from scs_study.data.image_set import DataError
from scs_study.system.foreign_files import is_foreign

TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")
"""What the folders of the two splits are called, in lower case; of several the first one counts."""


@dataclass(frozen=True)
class ImageFile:
    """A file of a class, and the SHA-256 of its content in hex."""

    path: Path
    hash: str


Members = Sequence[Sequence[ImageFile]]
"""The files of each class, in the order of the labels; those of a class ordered by their hashes."""


@dataclass(frozen=True)
class ImageFolder:
    """A folder of images as it is now. classes: their names, sorted. train: of all classes where test is None.

    digest: SHA-256 over the names of the classes and the hashes of their files: equal images in equal classes and
    splits have an equal digest, wherever they lie and whatever their files are called. others: what else lies in the
    folders of the classes, and is passed over.
    """

    root: Path
    classes: tuple[str, ...]
    train: Members
    test: Members | None
    digest: str
    others: tuple[Path, ...] = ()

    def split(
        self, share: float | None, seed: int | None, validation: float | None = None, judge: str = "test"
    ) -> tuple[Members, Members]:
        """Return the training files, and those that a run is judged by.

        share, seed: where the folder has no split of its own, which share of every class are test images. Which ones
        depends on their content and the seed, so an image that is added moves few others. validation: the share of
        every class that is neither trained on nor tested; judge: "validation" gives these in the test images' place.
        Raises DataError for a class with fewer images than there are parts.
        """
        if self.test is not None:
            return self.train, self.test
        assert share is not None
        shares = [share] if validation is None else [share, validation]
        train, test = [], []
        for name, members in zip(self.classes, self.train, strict=True):
            if len(members) <= len(shares):
                count = "a single image" if len(members) == 1 else f"{len(members)} images"
                parts = "training and test" if validation is None else "training, validation and test"
                raise DataError(f"{self.root / name} has {count}, which cannot be split into {parts}")
            drawn = sorted(members, key=lambda file: hashlib.sha256(f"{seed}|{file.hash}".encode()).hexdigest())
            parts_of: list[list[ImageFile]] = []
            for left, each in zip(range(len(shares), 0, -1), shares, strict=True):
                count_of = min(max(1, round(each * len(members))), len(drawn) - left)
                parts_of.append(drawn[:count_of])
                drawn = drawn[count_of:]
            chosen = parts_of[-1 if judge == "validation" else 0]
            test.append(sorted(chosen, key=lambda file: file.hash))
            train.append(sorted(drawn, key=lambda file: file.hash))
        return train, test


def read_folder(root: Path, index: Path) -> ImageFolder:
    """Return the image folder at `root`. index: the folder of the file that remembers hashes (file_hashes).

    Raises DataError in one sentence naming the file or folder that is missing, superfluous or unreadable.
    """
    try:
        listed = _listed(root)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
    names = tuple(listed["train"])
    paths = [path for split in listed.values() for members in split.values() for path in members]
    remembered = index / f"folder-files-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]}.json"
    hashes = dict(zip(paths, file_hashes(paths, remembered), strict=True))
    found = {
        split: [
            sorted((ImageFile(path, hashes[path]) for path in members[name]), key=lambda file: file.hash)
            for name in names
        ]
        for split, members in listed.items()
    }
    digest = hashlib.sha256()
    for split, members in found.items():
        for name, of_class in zip(names, members, strict=True):
            digest.update(f"{split if 'test' in found else ''}|{name}|{len(of_class)}|".encode())
            digest.update("".join(file.hash for file in of_class).encode())
    others = tuple(path for home in sorted({path.parent for path in paths}) for path in _others(home))
    return ImageFolder(root, names, found["train"], found.get("test"), digest.hexdigest(), others)


def _listed(root: Path) -> dict[str, dict[str, list[Path]]]:
    """The image files by split ("train" alone where the folder has no split) and class, both checked."""
    if not root.is_dir():
        raise DataError(f"data.root={root}: there is no such folder" + (", but a file" if root.exists() else ""))
    folders = _folders(root)
    train, test = (_called(folders, words) for words in (TRAIN, TEST))
    deeper = [path for path in (train, test) if path is not None and _folders(path)]
    if not deeper:
        flat = [path for path in (train, test) if path is not None]
        if flat and len(flat) == len(folders):
            raise DataError(f"{flat[0]} has no folders: each class needs one, such as {flat[0]}/cat/1.png")
        return {"train": _classes(root, folders)}
    for place, other, missing in ((train, test, "train"), (test, train, "test")):
        if place is None or place not in deeper:
            raise DataError(
                f"{root} has {other.name if other else ''}/ and no {missing}/ with a folder for each class: add it, or "
                f"let data.root be the folder that holds the folders of the classes"
            )
    assert train is not None
    assert test is not None
    splits = {"train": _classes(train, _folders(train)), "test": _classes(test, _folders(test))}
    for here, there, lacking in ((train, "train", "test"), (test, "test", "train")):
        if names := splits[there].keys() - splits[lacking].keys():
            raise DataError(f"{here / min(names)} is a class that {root} has not in {lacking}/")
    return {split: dict(sorted(members.items())) for split, members in splits.items()}


def _classes(folder: Path, folders: Sequence[Path]) -> dict[str, list[Path]]:
    if len(folders) < 2:
        has = f"one folder, {folders[0].name}" if folders else "no folders"
        deeper = bool(folders) and len(_folders(folders[0])) > 1
        where = f"; {folders[0].name} has several: is it data.root={folders[0]} that is meant?" if deeper else ""
        raise DataError(f"{folder} has {has}: at least two classes are needed, with a folder each{where}")
    members: dict[str, list[Path]] = {}
    for path in folders:
        name = unicodedata.normalize("NFC", path.name)
        if name in members:
            raise DataError(
                f"{folder} has two folders called {name}, which differ in how their letters are encoded alone: make "
                "one of them, or rename one"
            )
        members[name] = _images(path)
    return dict(sorted(members.items()))


def _images(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.is_dir()]
    paths = [folder / name for name in sorted(names) if os.path.splitext(name)[1].lower() in SUFFIXES]
    paths = [path for path in paths if not is_foreign(path)]
    if not paths:
        only = " (it has folders, but a class is one folder)" if _folders(folder) else ""
        raise DataError(f"{folder} is a class without images{only}: give it some ({', '.join(SUFFIXES)}), or remove it")
    return paths


def _others(folder: Path) -> list[Path]:
    """What a class has beside images: files with other endings, and folders."""
    with os.scandir(folder) as entries:
        found = [
            folder / entry.name
            for entry in entries
            if entry.is_dir() or os.path.splitext(entry.name)[1].lower() not in SUFFIXES
        ]
    return sorted(path for path in found if not is_foreign(path))


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        paths = [folder / entry.name for entry in entries if entry.is_dir()]
    return sorted(path for path in paths if not is_foreign(path))


def _called(folders: Sequence[Path], words: Sequence[str]) -> Path | None:
    by_name = {path.name.lower(): path for path in folders}
    return next((by_name[word] for word in words if word in by_name), None)
