"""Where a data set lies, in whichever of its forms people have it."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scs_study.data.cifar_files import find_cifar, read_cifar
from scs_study.data.datasets import DatasetSpec, letters
from scs_study.data.idx_files import find_idx, read_idx
from scs_study.data.image_set import DataError, Split
from scs_study.data.known_tree import has_class_folders, has_tree, read_tree
from scs_study.system.foreign_files import is_foreign

KERAS = "-target"
"""What Keras adds to the name of the folder that it unpacks."""
KAGGLE = "in a table, as in Kaggle's competition, whose test images have none at all,"
UNREADABLE = {
    "*.7z": f"with labels {KAGGLE}",
    "*label*.csv": f"with labels {KAGGLE}",
    "*.parquet": "as parquet files",
    "data_batch_1.bin": "in the version for C",
    "cifar-*-bin": "in the version for C",
    "cifar-*-binary.tar.gz": "in the version for C",
    "data_batch_1.mat": "in the version for MATLAB",
    "cifar-*-mat": "in the version for MATLAB",
    "cifar-*-matlab.tar.gz": "in the version for MATLAB",
}
"""Forms of a data set that are not read, by the names (in lower case) of the files that tell them."""
PARQUET_FOLDERS = ("data", "plain_text")


@dataclass(frozen=True)
class Source:
    """A data set that was found: where, as its folder or archive is named to users, and how it is read."""

    place: Path
    read: Callable[[], tuple[Split, Split]]


def find_source(known: DatasetSpec, bases: Sequence[Path]) -> Source | None:
    """Return the first form of the data set, complete or not, that one of the places is or holds; None without one."""
    for place in _places(known, bases):
        if place.is_dir() and has_tree(known, place) and not (other_form(place) and not has_class_folders(place)):
            return Source(place.resolve(), partial(read_tree, known, place))
        if known.pickles:
            found = find_cifar(known.layout, known.archive, known.pickles, place)
            if found is not None:
                return Source(_named(found, place), partial(_read_cifar, known, found))
        elif (found := find_idx(known.layout, place)) is not None:
            return Source(_named(found, place), partial(read_idx, found))
    return None


def _read_cifar(known: DatasetSpec, found: Path) -> tuple[Split, Split]:
    files = known.reader()  # not before it is read: this imports torchvision
    return read_cifar(files, found, known.classes)


def refuse_other_forms(known: DatasetSpec, bases: Sequence[Path]) -> None:
    """Do nothing where there are none. Raises DataError for a form of the data set that is not read."""
    for place in _places(known, bases):
        if place.is_file():
            raise DataError(f"{place} is a file: data.root is a folder, or {known.title}'s archive")
        if found := other_form(place):
            raise DataError(f"{found[0]}: {known.title} {found[1]} is not read here; {forms(known)}")


def forms(known: DatasetSpec) -> str:
    """Return the forms that are read, in words that go on a sentence."""
    files = f"{known.archive} or the folder {known.layout} in it" if known.archive else f"torchvision's {known.layout}"
    return f"put {files}, or a folder of images for every class, as {known.name}/{{train,test}}/<class>/*.png"


def other_form(folder: Path) -> tuple[Path, str] | None:
    """Return a file that tells of a form that is not read, and that form in words; None without one."""
    folders = [folder, *(folder / name for name in PARQUET_FOLDERS if (folder / name).is_dir())]
    for path in (path for each in folders for path in sorted(each.iterdir()) if not is_foreign(path)):
        for pattern, what in UNREADABLE.items():
            if fnmatch.fnmatchcase(path.name.lower(), pattern):
                return path, what
    return None


def _places(known: DatasetSpec, bases: Sequence[Path]) -> Iterator[Path]:
    """What to look at, in its order: in each base the folders named after the data set, then the base itself."""
    stems = (known.name, known.title, known.layout, known.layout + KERAS, known.archive.partition(".")[0])
    names = {letters(stem) for stem in stems}
    for base in bases:
        if base.is_dir():
            inside = [path for path in sorted(base.iterdir()) if path.is_dir() and letters(path.name) in names]
            yield from sorted(inside, key=lambda path: (path.name != known.name, path.name))
        if base.exists():
            yield base


def _named(found: Path, place: Path) -> Path:
    """What a run says of where its images came from: the folder that holds torchvision's, or the archive."""
    return (found if found.is_file() else place).resolve()
