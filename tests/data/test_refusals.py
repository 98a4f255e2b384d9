"""Data that is missing, damaged or not what it claims to be is refused in one sentence that names the place."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scs_study.config.schema import DataConfig
from scs_study.data import DataError, load_images
from scs_study.data.datasets import DatasetSpec
from scs_study.data.load import load_known
from scs_study.experiments.compose import PROJECT
from tests.data.small_sets import COLOUR, GREY, draw, pinned, write_cifar, write_mnist, write_tree

ROOT = "root"


def refused(known: DatasetSpec, folder: Path) -> str:
    """The sentence with which loading `folder` is refused; nothing may be left in the cache."""
    with pytest.raises(DataError) as caught:
        load_known(known, folder / ROOT, folder / "home" / "cache", download=False)
    message = str(caught.value)
    assert "\n" not in message
    assert not list(folder.glob("home/cache/*"))
    return message.replace(str(folder), "")


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    assert refused(COLOUR, tmp_path).startswith("data.root=/root: there is no such folder")


def test_nothing_to_be_found(tmp_path: Path) -> None:
    (tmp_path / ROOT).mkdir()
    message = refused(COLOUR, tmp_path)
    assert message.startswith("data.root=/root: no Small Colour Set in /root and /home; put cifar-10-python.tar.gz or")
    assert "cifar-10-batches-py" in message
    assert "colour/{train,test}/<class>/*.png" in message
    assert "SCS_DATA_DIR" in message


def test_the_public_door_refuses_in_the_same_way(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.name=mnist: no MNIST in .*/home; put torchvision's MNIST/raw"):
        load_images(DataConfig("mnist", 32, 4, False), None, tmp_path / "home" / "cache", download=False)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


NOISE = np.random.default_rng(5).integers(256, size=(32, 32, 3), dtype=np.uint8)
IMAGE = "train/truck/00003.png"

TREE_DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no test split": (lambda root: remove(root / "test"), "/root/test is missing: Small Colour Set needs /root/train"),
    "no train split": (lambda root: remove(root / "train"), "/root/train is missing: Small Colour Set needs"),
    "no class": (
        lambda root: remove(root / "test" / "truck"),
        "/root/test has no folder for the class truck of Small Colour Set (name it 2 or by its name)",
    ),
    "unknown class": (
        lambda root: (root / "train" / "zebra").mkdir(),
        "/root/train/zebra is not a class of Small Colour Set, which has airplane, T-shirt/top, truck",
    ),
    "class twice": (
        lambda root: (root / "train" / "0").mkdir(),
        "/root/train/0 and /root/train/airplane are both the class airplane of Small Colour Set",
    ),
    "image missing": (
        lambda root: (root / IMAGE).unlink(),
        "/root/train/truck has 4 images of the class truck, but Small Colour Set has 5",
    ),
    "image too many": (
        lambda root: save(root / "test/truck/more.png", NOISE),
        "/root/test/truck has 4 images of the class truck, but Small Colour Set has 3",
    ),
    "truncated image": (lambda root: truncate(root / IMAGE), f"/root/{IMAGE} cannot be read as an image: "),
    "flipped bit": (lambda root: flip_a_byte(root / IMAGE), f"/root/{IMAGE} cannot be read as an image: "),
    "not an image": (
        lambda root: (root / IMAGE).write_text("<html>"),
        f"/root/{IMAGE} cannot be read as an image: not an image",
    ),
    "empty file": (lambda root: (root / IMAGE).write_bytes(b""), f"/root/{IMAGE} cannot be read as an image: "),
    "a folder": (lambda root: ((root / IMAGE).unlink(), (root / IMAGE).mkdir()), f"/root/{IMAGE} cannot be read: "),
    "wrong size": (
        lambda root: save(root / IMAGE, NOISE[:16]),
        f"/root/{IMAGE} is 32x16 pixels, but Small Colour Set has 32x32",
    ),
    "transparency": (
        lambda root: save(root / IMAGE, NOISE, "RGBA"),
        f"/root/{IMAGE} is of Pillow's mode RGBA, but Small Colour Set needs 8 bits of RGB",
    ),
    "another image": (
        lambda root: save(root / IMAGE, NOISE),
        "/root is not the original Small Colour Set: the counts are right (16 training and 6 test images), but the "
        "training images or their classes (channel means here: ",
    ),
    "another test image": (
        lambda root: save(root / "test/truck/00000.png", NOISE),
        "/root is not the original Small Colour Set: the counts are right (16 training and 6 test images), but the "
        "test images or their classes (channel means here: ",
    ),
    "images of two classes exchanged": (
        lambda root: [
            (root / "train/truck/00000.png").rename(root / "train/airplane/x.png"),
            (root / "train/airplane/00000.png").rename(root / "train/truck/00000.png"),
        ],
        "/root is not the original Small Colour Set",
    ),
}


@pytest.mark.parametrize(("damage", "sentence"), TREE_DAMAGES.values(), ids=TREE_DAMAGES)
def test_a_tree_that_is_not_whole(damage: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    splits = draw(COLOUR)
    # Named after the set, so that it is known to be meant even when nothing else says so.
    known = dataclasses.replace(pinned(COLOUR, splits), name=ROOT)
    write_tree(tmp_path / ROOT, known, splits)
    damage(tmp_path / ROOT)
    assert refused(known, tmp_path).startswith(sentence)


def test_a_lossy_copy_is_not_the_original(tmp_path: Path) -> None:
    splits = draw(COLOUR)
    write_tree(tmp_path / ROOT, COLOUR, splits)
    for path in sorted((tmp_path / ROOT).rglob("*.png")):
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"))
        path.unlink()
    assert "lossy (JPEG)" in refused(pinned(COLOUR, splits), tmp_path)


def test_colours_in_a_grey_set(tmp_path: Path) -> None:
    write_tree(tmp_path / ROOT, GREY, draw(GREY))
    save(tmp_path / ROOT / IMAGE, NOISE[:28, :28])
    assert refused(GREY, tmp_path) == f"/root/{IMAGE} has colours, but the images of Small Grey Set are grey"


def test_sixteen_bits_of_grey(tmp_path: Path) -> None:
    write_tree(tmp_path / ROOT, GREY, draw(GREY))
    save(tmp_path / ROOT / IMAGE, np.arange(784, dtype=np.uint16).reshape(28, 28))
    assert refused(GREY, tmp_path).startswith(f"/root/{IMAGE} is of Pillow's mode I;16, but")


CIFAR_DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda files: (files / "data_batch_2").unlink(), "data_batch_2 is missing: unpack the whole archive"),
    "truncated": (lambda files: truncate(files / "test_batch"), "test_batch is damaged (its md5 sum is not "),
    "flipped bit": (lambda files: flip_a_byte(files / "data_batch_1"), "data_batch_1 is damaged (its md5 sum"),
    "meta missing": (lambda files: (files / "batches.meta").unlink(), "batches.meta is missing"),
}


@pytest.mark.parametrize(("damage", "sentence"), CIFAR_DAMAGES.values(), ids=CIFAR_DAMAGES)
def test_pickles_that_are_not_whole(damage: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    known = write_cifar(tmp_path / ROOT, COLOUR, draw(COLOUR))
    damage(tmp_path / ROOT / "cifar-10-batches-py")
    assert refused(known, tmp_path).startswith(f"/root/cifar-10-batches-py/{sentence}")


IDX_DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda raw: (raw / "train-images-idx3-ubyte").unlink(), "train-images-idx3-ubyte is missing"),
    "truncated": (
        lambda raw: truncate(raw / "t10k-images-idx3-ubyte"),
        "t10k-images-idx3-ubyte is damaged: it should hold 4704 bytes and holds 4604",
    ),
    "empty": (lambda raw: (raw / "train-labels-idx1-ubyte").write_bytes(b""), "train-labels-idx1-ubyte is damaged"),
    "still compressed": (
        lambda raw: (raw / "train-labels-idx1-ubyte").write_bytes(b"\x1f\x8b\x08\x08" + bytes(100)),
        "train-labels-idx1-ubyte is damaged: it does not begin like an idx file of bytes in 1 dimensions",
    ),
}


@pytest.mark.parametrize(("damage", "sentence"), IDX_DAMAGES.values(), ids=IDX_DAMAGES)
def test_idx_files_that_are_not_whole(damage: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    write_mnist(tmp_path / ROOT, draw(GREY))
    damage(tmp_path / ROOT / "MNIST" / "raw")
    assert refused(GREY, tmp_path).startswith(f"/root/MNIST/raw/{sentence}")


def test_files_with_other_counts_labels_or_shapes(tmp_path: Path) -> None:
    (train, labels), test = draw(GREY)
    for number, (pixels, classes, sentence) in enumerate(
        [
            (train, np.roll(np.sort(labels), 1) * 0, "has 16 images of the class airplane, but Small Grey Set has 4"),
            (train, labels + 5, "has labels outside 0..2"),
            (train[:, 1:], labels, "it has 16 labels and pixels of shape (16, 27, 28), not (28, 28) for each image"),
            (train[1:], labels, "it has 16 labels and pixels of shape (15, 28, 28), not (28, 28) for each image"),
        ]
    ):
        folder = tmp_path / str(number)
        write_mnist(folder / ROOT, ((pixels, classes), test))
        assert sentence in refused(GREY, folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs files of somebody else (root)")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    hidden = tmp_path / ROOT / "cifar10" / "train"
    hidden.mkdir(parents=True)
    hidden.chmod(0o700)
    for path in (tmp_path, *tmp_path.parents[:-2]):
        path.chmod(path.stat().st_mode | 0o055)
    code = f"""
import os
from pathlib import Path
from scs_study.config.schema import DataConfig
from scs_study.data import DataError, load_images
os.setgid(65534); os.setuid(65534)
for root in ({str(tmp_path / ROOT)!r}, {str(hidden / "below")!r}):
    try:
        load_images(DataConfig("cifar10", 32, 4, True), Path(root), Path("/nowhere"), download=False)
    except DataError as error:
        assert str(error).endswith("cannot be read: Permission denied"), error
    else:
        raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
