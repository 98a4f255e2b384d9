"""A data set is taken in every form that people have it in, and what others leave beside it is nobody's image."""

from __future__ import annotations

import dataclasses
import gzip
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from scs_study.data import DataError, load_images
from scs_study.data.datasets import CIFAR100_SET, REGISTRY, DatasetSpec
from scs_study.data.load import load_known
from scs_study.experiments.compose import compose_cell
from scs_study.models import InitialWeights
from scs_study.models.initialization import draw as draw_weights
from scs_study.system.foreign_files import is_foreign
from scs_study.training.run import Settings, train
from tests.data.small_sets import COLOUR, GREY, draw, pinned, write_cifar, write_cifar100, write_mnist, write_tree

LAYOUT, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"


def load(known: DatasetSpec, root: Path, tmp_path: Path) -> str:
    """The digest of what is loaded, where a download would fail: nothing is to be fetched."""
    return load_known(known, root, tmp_path / "home" / "cache", download=True).digest


def pack(folder: Path, archive: Path, mode: str = "w:gz") -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, mode) as tar:  # type: ignore[call-overload]
        tar.add(folder / LAYOUT, LAYOUT)


FORMS: dict[str, Callable[[Path, Path], Path]] = {
    "the folder of pickles itself": lambda made, root: shutil.copytree(made / LAYOUT, root / LAYOUT),
    "that folder under another name": lambda made, root: shutil.copytree(made / LAYOUT, root / "pickles"),
    "the archive itself": lambda made, root: (pack(made, root / ARCHIVE), root / ARCHIVE)[1],
    "a folder that holds the archive": lambda made, root: (pack(made, root / ARCHIVE), root)[1],
    "the archive as .tar": lambda made, root: (pack(made, root / "cifar-10-python.tar", "w"), root)[1],
    "the archive as .tgz": lambda made, root: (pack(made, root / "cifar-10-python.tgz"), root)[1],
    "Keras's archive": lambda made, root: (pack(made, root / f"{LAYOUT}.tar.gz"), root)[1],
    "Keras's folder": lambda made, root: shutil.copytree(made / LAYOUT, root / f"{LAYOUT}-target" / LAYOUT).parents[1],
    "unpacked into a folder named after the archive": lambda made, root: shutil.copytree(
        made / LAYOUT, root / "cifar-10-python" / LAYOUT
    ).parents[1],
    "a folder named as people write it": lambda made, root: shutil.copytree(
        made / LAYOUT, root / "Small-Colour_SET" / LAYOUT
    ).parents[1],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_cifars_pickles_are_found_in_whatever_they_lie(form: Callable[[Path, Path], Path], tmp_path: Path) -> None:
    splits = draw(COLOUR)
    known = write_cifar(tmp_path / "made", pinned(COLOUR, splits), splits)
    (tmp_path / "root").mkdir()
    assert load(known, form(tmp_path / "made", tmp_path / "root"), tmp_path) == known.digest


def test_an_archive_of_a_mac_holds_more_than_its_files(tmp_path: Path) -> None:
    known = write_cifar(tmp_path / "made", COLOUR, draw(COLOUR))
    for name in known.pickles:
        (tmp_path / "made" / LAYOUT / f"._{name}").write_bytes(b"\0\5\x16\7")
    pack(tmp_path / "made", tmp_path / "root" / ARCHIVE)
    load(known, tmp_path / "root", tmp_path)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda archive: archive.write_bytes(archive.read_bytes()[:-2000]), "cannot be unpacked ("),
        (lambda archive: archive.write_bytes(b""), "cannot be unpacked ("),
        (lambda archive: archive.write_text("<html>"), "cannot be unpacked ("),
        (lambda archive: pack(archive.parent / "other", archive), "has no data_batch_2"),
    ],
)
def test_a_damaged_archive_is_named(damage: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    known = write_cifar(tmp_path / "made", COLOUR, draw(COLOUR))
    archive = tmp_path / "root" / ARCHIVE
    pack(tmp_path / "made", archive)
    shutil.copytree(tmp_path / "made", tmp_path / "root" / "other")
    (tmp_path / "root" / "other" / LAYOUT / "data_batch_2").unlink()
    damage(archive)
    with pytest.raises(DataError) as caught:
        load(known, archive, tmp_path)
    assert str(caught.value).startswith(f"{archive} {sentence}")
    assert "\n" not in str(caught.value)


def test_cifar100s_pickles_are_read_by_their_fine_labels(tmp_path: Path) -> None:
    known = dataclasses.replace(CIFAR100_SET, train_counts=(2,) * 100, test_counts=(1,) * 100)
    splits = draw(known)
    small = write_cifar100(tmp_path / "made", pinned(known, splits), splits)
    shutil.copytree(tmp_path / "made" / small.layout, tmp_path / "bare")
    (tmp_path / "packed").mkdir()
    with tarfile.open(tmp_path / "packed" / small.archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / small.layout, small.layout)
    for name in ("made", "bare", "packed"):
        assert load(small, tmp_path / name, tmp_path / name) == small.digest
    write_tree(tmp_path / "tree", known, splits)
    assert load(small, tmp_path / "tree", tmp_path / "tree") == small.digest


def test_a_network_of_100_classes_is_trained_on_such_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = dataclasses.replace(CIFAR100_SET, train_counts=(2,) * 100, test_counts=(1,) * 100)
    monkeypatch.setitem(REGISTRY, known.name, write_cifar100(tmp_path, known, draw(known)))
    settings = {"train.epochs": 1, "train.batch_size": 100, "train.mixup": 0.8}
    cell = compose_cell({"data": "cifar100", "arch": "rohrer68k"}, settings, 0)
    images = load_images(cell.data, tmp_path, tmp_path / "cache", download=False)
    assert images.test_labels.tolist() == list(range(100))
    shared = InitialWeights(draw_weights(cell.arch, 0, cell.init, cell.data.ends), "")
    (tmp_path / "run").mkdir()
    result = train(cell, tmp_path / "run", images, shared, Settings(torch.device("cpu")))
    assert result["state"] == "done"
    assert result["parameters"] == 68_029 + 90 * (1536 + 1)


def test_pickles_of_other_classes_are_refused(tmp_path: Path) -> None:
    known = write_cifar(tmp_path, COLOUR, draw(COLOUR))
    with pytest.raises(DataError, match=r"cifar-10-batches-py has other classes than .*: airplane, T-shirt/top, truck"):
        load(dataclasses.replace(known, classes=("a", "b", "c")), tmp_path, tmp_path)


IDX_FORMS: dict[str, Callable[[Path], str]] = {
    "compressed, as downloaded": lambda path: f"{path.name}.gz",
    "with a dot": lambda path: path.name.replace("-idx", ".idx"),
    "each in a folder of its name": lambda path: f"{path.name}/{path.name}",
}


@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("form", IDX_FORMS.values(), ids=IDX_FORMS)
def test_mnists_files_are_found_in_whatever_they_lie(form: Callable[[Path], str], below: str, tmp_path: Path) -> None:
    splits = draw(GREY)
    write_mnist(tmp_path / "made", splits)
    for path in sorted((tmp_path / "made" / "MNIST" / "raw").iterdir()):
        there = tmp_path / "root" / below / form(path)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(gzip.compress(path.read_bytes()) if there.suffix == ".gz" else path.read_bytes())
    known = pinned(GREY, splits)
    assert load(known, tmp_path / "root", tmp_path) == known.digest


def test_half_a_compressed_file_is_damaged(tmp_path: Path) -> None:
    write_mnist(tmp_path / "root", draw(GREY))
    raw = tmp_path / "root" / "MNIST" / "raw"
    content = gzip.compress((raw / "t10k-labels-idx1-ubyte").read_bytes())
    (raw / "t10k-labels-idx1-ubyte").unlink()
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(content[:-3])
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz is damaged: it cannot be decompressed"):
        load(GREY, tmp_path / "root", tmp_path)


def flat_images(folder: Path) -> None:
    folder.mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(folder / "1.png")


OTHER_FORMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "Kaggle's download": (
        lambda root: [(root / name).write_text("") for name in ("train.7z", "test.7z", "trainLabels.csv")],
        "/test.7z: Small Colour Set with labels in a table, as in Kaggle's competition, whose test images ",
    ),
    "Kaggle's download, unpacked": (
        lambda root: [flat_images(root / "train"), (root / "trainLabels.csv").write_text("id,label\n1,frog\n")],
        "/trainLabels.csv: Small Colour Set with labels in a table, as in Kaggle's",
    ),
    "below a folder of the data set's name": (
        lambda root: [flat_images(root / "colour/train"), (root / "colour/train_labels.csv").write_text("id,label\n")],
        "/colour/train_labels.csv: Small Colour Set with labels in a table",
    ),
    "the version for C": (lambda root: (root / "data_batch_1.bin").write_text(""), "/data_batch_1.bin: Small Colour"),
    "its archive": (lambda root: (root / "cifar-10-binary.tar.gz").write_text(""), "/cifar-10-binary.tar.gz: Small C"),
    "the version for MATLAB": (lambda root: (root / "cifar-10-batches-mat").mkdir(), "/cifar-10-batches-mat: Small C"),
    "parquet": (
        lambda root: [(root / "plain_text").mkdir(), (root / "plain_text/train-0.parquet").write_text("")],
        "/plain_text/train-0.parquet: Small Colour Set as parquet files is not read here; put cifar-10-python.tar.gz",
    ),
    "nothing of it": (
        lambda root: flat_images(root / "train"),
        ": no Small Colour Set in ",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_a_form_that_is_not_read_is_told_off_and_nothing_is_downloaded(
    make: Callable[[Path], object], sentence: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    make(root)
    with pytest.raises(DataError) as caught:
        load(COLOUR, root, tmp_path)
    message = str(caught.value)
    assert message.removeprefix("data.root=").startswith(f"{root}{sentence}")
    assert "\n" not in message
    assert "cifar-10-python.tar.gz" in message
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "home").exists()


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "train.zip").write_text("")
    with pytest.raises(DataError, match=r"train\.zip is a file: data\.root is a folder, or Small Colour Set's archive"):
        load(COLOUR, tmp_path / "train.zip", tmp_path)


def test_a_table_of_labels_beside_folders_for_the_classes_is_no_obstacle(tmp_path: Path) -> None:
    write_tree(tmp_path / "root", COLOUR, draw(COLOUR))
    (tmp_path / "root" / "labels.csv").write_text("0,airplane\n")
    load(COLOUR, tmp_path / "root", tmp_path)


FILES = ["._00001.png", ".00001.png", ".DS_Store", "Thumbs.db", "desktop.ini", "._truck.jpg", ".nfs0001.png"]
FOLDERS = ["__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", ".ipynb_checkpoints", "@Recycle", ".Trashes"]


def test_files_and_folders_of_other_systems_are_no_images_and_no_classes(tmp_path: Path) -> None:
    splits = draw(COLOUR)
    known = pinned(COLOUR, splits)
    write_tree(tmp_path / "root", known, splits)
    everywhere = [path for path in (tmp_path / "root").rglob("*") if path.is_dir()] + [tmp_path / "root"]
    for folder in everywhere:
        for name in FOLDERS:
            (folder / name / "0").mkdir(parents=True)
            (folder / name / "00000.png").write_bytes(b"\0\5\x16\7")
        for name in FILES:
            (folder / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    assert load(known, tmp_path / "root", tmp_path) == known.digest


@pytest.mark.parametrize("name", [*FILES, *FOLDERS, "THUMBS.DB", "__pycache__", "System Volume Information"])
def test_what_is_foreign(name: str) -> None:
    assert is_foreign(Path("cat") / name)


@pytest.mark.parametrize("name", ["cat", "cat.png", "thumbs.png", "0", "_cat.png", "@cat", "#1"])
def test_what_is_not_foreign(name: str) -> None:
    assert not is_foreign(Path("._cat") / name)
