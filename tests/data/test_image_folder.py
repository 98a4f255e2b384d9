"""Anybody's own images: any tree of them, brought to one size, known by their content, refused in one sentence."""

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
from scs_study.data import Batches, DataError, ImageSet, load_images
from scs_study.data.fitting import fitted
from scs_study.data.image_folder import read_folder
from tests.data.own_sets import CLASSES, write_flat, write_images, write_own


def config(root: Path, cache: Path, **changes: Any) -> DataConfig:
    """The data of a cell on the images in `root`."""
    folder = read_folder(root, cache)
    split = {} if folder.test is not None else {"test_share": 0.2, "split_seed": 0}
    values = {"fit": "crop", "num_classes": len(folder.classes), "digest": folder.digest, **split, **changes}
    return DataConfig("folder", values.pop("image_size", (48, 40)), 4, True, **values)


def load(root: Path, cache: Path, **changes: Any) -> ImageSet:
    return load_images(config(root, cache, **changes), root, cache, download=False)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own(tmp_path_factory.mktemp("own") / "root")


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    """A copy of the images, to change."""
    return Path(shutil.copytree(original, tmp_path / "root"))


def test_images_of_all_kinds_become_one_set(original: Path, tmp_path: Path) -> None:
    images = load(original, tmp_path)
    assert images.classes == CLASSES
    assert images.train_images.shape == (7 * 12, 48, 40, 3)
    assert images.test_images.shape == (7 * 3, 48, 40, 3)
    assert images.train_images.dtype == torch.uint8
    assert images.train_labels.tolist() == [label for label in range(7) for _ in range(12)]
    assert images.test_labels.tolist() == [label for label in range(7) for _ in range(3)]
    means = [float(images.train_images[images.train_labels == label].float().mean()) for label in range(7)]
    assert means == sorted(means), "the brighter classes are brighter"
    assert images.origin == str(original)


def test_one_channel(original: Path, tmp_path: Path) -> None:
    images = load(original, tmp_path, channels=1, image_size=32)
    assert images.train_images.shape == (84, 32, 32, 1)
    three = load(original, tmp_path, channels=3, image_size=32)
    assert images.digest != three.digest


def test_batches_take_size_and_channels_from_the_images(original: Path, tmp_path: Path) -> None:
    for channels in (1, 3):
        data = config(original, tmp_path, channels=channels)
        images = load_images(data, original, tmp_path, download=False)
        batches = Batches(images, data, 16, 0, "cpu")
        plan = batches.plan(0)
        assert sorted(torch.cat([batches.train(plan, step)[1] for step in range(batches.steps)]).tolist()) == sorted(
            images.train_labels.tolist()
        )
        x, y = batches.train(plan, 2)
        assert x.shape == (16, channels, 48, 40)
        padded = torch.nn.functional.pad(images.train_images, (0, 0, 4, 4, 4, 4))
        for position, image in enumerate(x):
            number = 32 + position
            row, column = int(plan.rows[number]), int(plan.columns[number])
            crop = padded[plan.order[number], row : row + 48, column : column + 40]
            crop = crop.flip(1) if plan.flips[number] else crop
            assert torch.equal((image.permute(1, 2, 0) * 255).round().to(torch.uint8), crop)
            assert y[position] == images.train_labels[plan.order[number]]
        tested = torch.cat([x for x, _ in batches.test(10)])
        assert torch.equal((tested.permute(0, 2, 3, 1) * 255).round().to(torch.uint8), images.test_images)


def test_neither_place_nor_names_of_files_matter_and_all_else_does(root: Path, tmp_path: Path) -> None:
    first = config(root, tmp_path).digest
    digests = {first}
    moved = root.rename(tmp_path / "elsewhere")
    for number, path in enumerate(sorted((moved / "train" / "ant").iterdir(), reverse=True)):
        path.rename(path.with_name(f"renamed{number}{path.suffix}"))
    (moved / "train").rename(moved / "Training")
    (moved / "test").rename(moved / "val")
    assert config(moved, tmp_path).digest == first
    changes: list[Callable[[], object]] = [
        lambda: (moved / "Training" / "ant" / "renamed0.bmp").unlink(),
        lambda: shutil.copy(moved / "Training/ant/renamed1.png", moved / "Training/bee/more.png"),
        lambda: (moved / "Training/ant/renamed1.png").rename(moved / "Training/bee/moved.png"),
        lambda: [(moved / split / "gnu").rename(moved / split / "yak") for split in ("Training", "val")],
        lambda: (moved / "val/ant/000.png").rename(moved / "Training/ant/moved.png"),
    ]
    for change in changes:
        change()
        digests.add(config(moved, tmp_path).digest)
    assert len(digests) == 1 + len(changes)


def test_the_order_is_by_content_so_equal_folders_give_equal_sets(root: Path, original: Path, tmp_path: Path) -> None:
    for path in sorted((root / "train" / "cat").iterdir()):
        path.rename(path.with_name(f"x{hash(path.name)}{path.suffix}"))
    one, other = load(root, tmp_path / "a"), load(original, tmp_path / "b")
    assert one.digest == other.digest
    assert torch.equal(one.train_images, other.train_images)


# --- a split by settings


def test_a_folder_of_classes_alone_is_split_by_settings(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "root", 10)
    images = load(root, tmp_path)
    assert torch.bincount(images.train_labels).tolist() == [8, 8, 8]
    assert torch.bincount(images.test_labels).tolist() == [2, 2, 2]
    everything = {image.numpy().tobytes() for split in (images.train_images, images.test_images) for image in split}
    assert len(everything) == 30, "no image is in both"
    again, other = load(root, tmp_path / "b"), load(root, tmp_path, split_seed=1)
    assert again.digest == images.digest
    assert other.digest != images.digest
    assert len(load(root, tmp_path, test_share=0.5).test_labels) == 15
    assert len(load(root, tmp_path, test_share=0.001).test_labels) == 3, "a test image of every class at least"


def test_an_image_more_leaves_the_others_where_they_were(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "root", 10)
    before = {image.numpy().tobytes() for image in load(root, tmp_path).test_images}
    write_images(tmp_path / "more", 1, seed=99)
    shutil.copy(tmp_path / "more" / "000.png", root / "ant" / "new.png")
    after = {image.numpy().tobytes() for image in load(root, tmp_path).test_images}
    assert len(before & after) >= 5


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    images = load(write_flat(tmp_path / "root", 5, ("bus", "test", "train")), tmp_path)
    assert images.classes == ("bus", "test", "train")


# --- fitting


def corners() -> Image.Image:
    """100 wide and 40 high: red on the left, green in the middle, blue on the right."""
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, :30, 0] = pixels[:, 30:70, 1] = pixels[:, 70:, 2] = 200
    return Image.fromarray(pixels)


def fit(image: Image.Image, path: Path, size: tuple[int, int], how: str, channels: int = 3, **save: Any) -> np.ndarray:
    image.save(path, **save)
    return fitted(path, path.read_bytes(), size, channels, how)


def test_crop_takes_the_middle_and_stretch_takes_all(tmp_path: Path) -> None:
    cropped = fit(corners(), tmp_path / "a.png", (20, 20), "crop")
    assert (cropped[:, 1:-1] == [0, 200, 0]).all()
    stretched = fit(corners(), tmp_path / "a.png", (20, 20), "stretch")
    assert (stretched[:, 0] == [200, 0, 0]).all()
    assert (stretched[:, -1] == [0, 0, 200]).all()


def test_an_image_of_the_wanted_size_keeps_every_pixel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(48, 40, 3), dtype=np.uint8)
    for how in ("crop", "stretch"):
        np.testing.assert_array_equal(fit(Image.fromarray(pixels), tmp_path / "a.png", (48, 40), how), pixels)


def test_a_photograph_is_turned_as_the_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    turned = fit(corners(), tmp_path / "a.png", (100, 40), "crop", exif=exif)
    assert (turned[0] == [200, 0, 0]).all()
    assert (turned[-1] == [0, 0, 200]).all()


def test_what_is_transparent_shows_black_and_sixteen_bits_become_eight(tmp_path: Path) -> None:
    glass = np.full((8, 8, 4), 200, np.uint8)
    glass[:4, :, 3], glass[4:, :, 3] = 0, 255
    seen = fit(Image.fromarray(glass), tmp_path / "a.png", (8, 8), "crop")
    assert not seen[:4].any()
    assert (seen[4:] == 200).all()
    deep = (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024).astype(np.uint16)
    grey = fit(Image.fromarray(deep), tmp_path / "b.png", (8, 8), "crop", channels=1)
    np.testing.assert_array_equal(grey[..., 0], deep >> 8)


# --- what is kept


def test_a_second_look_reads_no_image(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in root.rglob("*.*"):
        os.utime(path, (1e9, 1e9))
    wait_until_settled(root, monkeypatch)
    first = load(root, tmp_path)

    reads = Path.read_bytes

    def counted(path: Path) -> bytes:
        assert not path.is_relative_to(root), f"{path} is read again"
        return reads(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    assert load(root, tmp_path).digest == first.digest


def wait_until_settled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of the index be an hour ahead, as if the files had long been written."""
    import time

    now = time.time_ns
    monkeypatch.setattr("scs_study.data.file_hashes.time.time_ns", lambda: now() + 3600 * 10**9)


def test_a_change_that_keeps_size_and_mtime_is_seen(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until_settled(root, monkeypatch)
    before = config(root, tmp_path).digest
    path = root / "train" / "ant" / "011.bmp"
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert config(root, tmp_path).digest != before


def test_what_has_just_been_written_is_not_trusted(root: Path, tmp_path: Path) -> None:
    """Within the grain of a file system's clock a file may change and keep its times."""
    config(root, tmp_path)
    assert not list(tmp_path.glob("folder-files-*.json"))


def test_images_that_changed_after_the_run_was_named_are_refused(root: Path, tmp_path: Path) -> None:
    data = config(root, tmp_path)
    (root / "train" / "ant" / "000.png").unlink()
    with pytest.raises(DataError, match="these images are not those that the run is named after"):
        load_images(data, root, tmp_path, download=False)


def test_with_what_is_kept_the_folder_is_no_longer_needed(root: Path, tmp_path: Path) -> None:
    data = config(root, tmp_path)
    first = load_images(data, root, tmp_path, download=False)
    shutil.rmtree(root)
    for place in (root, None):
        assert load_images(data, place, tmp_path, download=False).digest == first.digest
    shutil.rmtree(tmp_path / f"{data.images_key}-1")
    with pytest.raises(DataError, match="its decoded images are not kept"):
        load_images(data, root, tmp_path, download=False)


@pytest.mark.parametrize("file", ["train_images.npy", "test_labels.npy", "about.json"])
@pytest.mark.parametrize("how", ["cut", "flip", "remove", "empty"])
def test_what_is_kept_and_damaged_is_made_again(
    file: str, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_flat(tmp_path / "root", 4)
    first = load(root, tmp_path)
    (kept,) = tmp_path.glob("folder-*-1")
    path = kept / file
    content = bytearray(path.read_bytes())
    del first  # its pixels are mapped from the file
    if how == "cut":
        path.write_bytes(content[:-3])
    elif how == "flip":
        content[-3] ^= 1
        path.write_bytes(content)
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    images = load(root, tmp_path)
    assert len(images.train_labels) == 9
    assert f"{kept} is damaged" in capsys.readouterr().err
    assert kept.with_name(f"{kept.name}.damaged-1").is_dir()


def test_where_nothing_can_be_kept_they_are_decoded_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_flat(tmp_path / "root", 4)
    (tmp_path / "file").write_text("")
    expected = load(root, tmp_path)
    images = load(root, tmp_path / "file" / "cache")
    assert images.digest == expected.digest
    assert "cannot be kept" in capsys.readouterr().err


def test_images_beyond_the_memory_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_flat(tmp_path / "root", 4)
    need = 3 * (9 * (48 + 8) * (40 + 8) + 3 * 48 * 40)
    monkeypatch.setattr("scs_study.data.memory.free_memory", lambda: need)
    load(root, tmp_path)
    monkeypatch.setattr("scs_study.data.memory.free_memory", lambda: need - 1)
    with pytest.raises(DataError, match=r"need 0\.0 GB of memory \(9 \+ 3 images of 48x40 pixels and 3 channels\)"):
        load(root, tmp_path / "elsewhere")
    assert not list((tmp_path / "elsewhere").glob("folder-*-1"))


# --- refusals


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
        "{root} has one folder, flowers: at least two classes are needed, with a folder each, and no images in",
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
