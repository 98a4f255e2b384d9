"""Folders and settings that cannot be used are refused in one sentence."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scs_study.config.schema import DataConfig
from scs_study.data import Batches, DataError, load_images
from tests.data.own_folder import config, load
from tests.data.own_sets import CLASSES, write_flat, write_images


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no such folder": (remove, "data.root={root}: there is no such folder"),
    "a file": (lambda root: (remove(root), root.write_text("")), "data.root={root}: there is no such folder, but a f"),
    "no test": (lambda root: remove(root / "test"), "{root} has train/ and no test/ with a folder for each class"),
    "no train": (lambda root: remove(root / "train"), "{root} has test/ and no train/ with a folder for each class"),
    "one class": (
        lambda root: [remove(root / split / name) for split in ("train", "test") for name in CLASSES[1:]],
        "{root}/train has one folder, ant: at least two classes are needed",
    ),
    "a folder too high": (
        lambda root: [root.rename(root.with_name("x")), root.mkdir(), root.with_name("x").rename(root / "flowers")],
        "{root} has one folder, flowers: at least two classes are needed, with a folder each; flowers has",
    ),
    "no folders": (lambda root: (remove(root), root.mkdir()), "{root} has no folders: at least two classes are needed"),
    "flat splits": (
        lambda root: [
            (remove(root / split), write_images(root / split, 3, 0)) for split in ("train", "test")
        ],
        "{root}/train has no folders: each class needs one",
    ),
    "a class without images": (
        lambda root: [path.unlink() for path in (root / "train" / "cat").iterdir()],
        "{root}/train/cat is a class without images",
    ),
    "a class of folders": (
        lambda root: (remove(root / "train" / "cat"), (root / "train" / "cat" / "kittens").mkdir(parents=True)),
        "{root}/train/cat is a class without images (it has folders, but a class is one folder)",
    ),
    "a class of other files": (
        lambda root: [path.rename(path.with_suffix(".heic")) for path in (root / "test" / "cat").iterdir()],
        "{root}/test/cat is a class without images",
    ),
    "a class without tests": (lambda root: remove(root / "test" / "cat"), "{root}/train/cat is a class that {root} "),
    "a class of tests": (lambda root: remove(root / "train" / "cat"), "{root}/test/cat is a class that {root} has n"),
    "cut short": (
        lambda root: (root / "train/cat/001.jpg").write_bytes((root / "train/cat/001.jpg").read_bytes()[:-200]),
        "{root}/train/cat/001.jpg cannot be read as an image: ",
    ),
    "no image": (
        lambda root: (root / "train/cat/001.jpg").write_text("<html>"),
        "{root}/train/cat/001.jpg cannot be read as an image: not an image",
    ),
    "empty": (lambda root: (root / "test/cat/000.png").write_bytes(b""), "{root}/test/cat/000.png cannot be read as "),
    "a broken link": (
        lambda root: (root / "test/cat/x.png").symlink_to("nowhere.png"),
        "{root}/test/cat/x.png cannot be read: No such file or directory",
    ),
    "a pipe": (
        lambda root: os.mkfifo(root / "test/cat/x.png"),
        "{root}/test/cat/x.png is no file, but a pipe, a socket or a device",
    ),
    "one name twice": (
        lambda root: [write_images(root / "train" / name, 2, 0) for name in ("caf\u00e9", "cafe\u0301")],
        "{root}/train has two folders called caf\u00e9, which differ in how their letters are encoded alone",
    ),
    "floating point": (
        lambda root: Image.fromarray(np.ones((9, 9), np.float32)).save(root / "test/cat/x.tif"),
        "{root}/test/cat/x.tif cannot be read as an image: its pixels are floating-point numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_used_is_named(
    damage: Callable[[Path], object], sentence: str, root: Path, tmp_path: Path
) -> None:
    damage(root)
    with pytest.raises(DataError) as caught:
        load(root, tmp_path / "cache")
    message = str(caught.value)
    assert message.startswith(sentence.format(root=root))
    assert "\n" not in message
    assert not list((tmp_path / "cache").glob("folder-*-1"))


def test_a_single_image_cannot_be_split(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "root", 1)
    with pytest.raises(DataError, match="root/ant has a single image, which cannot be split"):
        load(root, tmp_path)


def test_files_of_other_systems_change_nothing(root: Path, tmp_path: Path) -> None:
    before = config(root, tmp_path).digest
    for folder in (root, root / "train", root / "train" / "cat"):
        for name in ("__MACOSX", "@eaDir", ".git"):
            write_images(folder / name, 1, 0)
        for name in ("._cat.png", "Thumbs.db", ".DS_Store", "notes.txt"):
            (folder / name).write_bytes(b"\0\5\x16\7")
    assert config(root, tmp_path).digest == before


GOOD = {"fit": "crop", "num_classes": 7, "digest": "0" * 64}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fit": "squash"}, r"data\.fit=squash: not known.*choose from crop, stretch"),
        ({"num_classes": 1}, r"data\.num_classes=1: must be at least 2"),
        ({"digest": None}, r"data\.digest=None: must be 64 hex digits"),
        ({"channels": 2}, r"data\.channels=2: must be 3, or 1 for grey images"),
        ({"image_size": (48, 4)}, r"data\.image_size=4: must be at least 8"),
        ({"image_size": (48, 40, 3)}, r"data\.image_size=\[48, 40, 3\]: must be a number, or \[height, width\]"),
        ({"image_size": 8, "crop_padding": 9}, r"data\.crop_padding=9: must be at least 0 and at most 8"),
        ({"test_share": 0.2}, "one without the other has no effect"),
        ({"test_share": 1.0, "split_seed": 0}, r"data\.test_share=1\.0: must be above 0 and at most 0\.9"),
        ({"name": "cifar10"}, r"data\.fit=crop has no effect on data\.name=cifar10"),
        ({"name": "cifar10", "fit": None, "digest": None, "channels": 1}, "the images of cifar10 have colours; 1 is "),
    ],
)  # fmt: skip
def test_wrong_settings_are_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    values = {"name": "folder", "image_size": 32, "crop_padding": 4, "flip": True, **GOOD, **changes}
    with pytest.raises(ValueError, match=sentence):
        DataConfig(**values)


def test_equal_sides_are_one_number() -> None:
    assert DataConfig("folder", (32, 32), 4, True, **GOOD).image_size == 32  # type: ignore[arg-type]
    assert DataConfig("cifar10", (48, 40), 4, True).size_words == "48x40"


def test_grey_sets_can_be_shown_in_one_channel(tmp_path: Path) -> None:
    three = load_images(DataConfig("digits", 32, 4, False), None, tmp_path, download=False)
    data = DataConfig("digits", 32, 4, False, channels=1)
    one = load_images(data, None, tmp_path, download=False)
    assert torch.equal(one.train_images, three.train_images[..., :1])
    assert one.digest != three.digest
    assert data.images_key != dataclasses.replace(data, channels=3).images_key == "digits"
    assert Batches(one, data, 8, 0, "cpu").train(Batches(one, data, 8, 0, "cpu").plan(0), 0)[0].shape == (8, 1, 32, 32)
