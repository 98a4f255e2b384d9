"""Anybody's own images: any tree of them, brought to one size, known by their content, refused in one sentence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scs_study.data import Batches, load_images
from scs_study.data.fitting import fitted
from tests.data.own_folder import config, load
from tests.data.own_sets import CLASSES, write_flat, write_images


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


def test_what_is_passed_over_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_flat(tmp_path / "root", 5)
    (root / "notes.txt").write_text("beside the classes")
    (root / "ant" / ".DS_Store").write_text("nobody means it")
    load(root, tmp_path / "a")
    assert "passed over" not in capsys.readouterr().err
    (root / "ant" / "photo.heic").write_bytes(b"")
    (root / "ant" / "more").mkdir()
    before = config(root, tmp_path / "a").digest
    load(root, tmp_path / "b")
    said = capsys.readouterr().err
    assert "2 are passed over" in said
    assert str(root / "ant" / "more") in said
    (root / "ant" / "more").rmdir()
    load(root, tmp_path / "c")
    assert "one is passed over" in capsys.readouterr().err
    assert config(root, tmp_path / "c").digest == before


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
