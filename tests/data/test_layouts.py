"""The same images give the same arrays, whatever files they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST

from scs_study.config import images as config
from scs_study.data.datasets import CIFAR10_SET, CIFAR100_SET, FASHION_MNIST_SET, MNIST_SET, REGISTRY, DatasetSpec
from scs_study.data.image_set import ImageSet, canonical
from scs_study.data.load import load_known
from tests.data.small_sets import COLOUR, GREY, Splits, draw, pinned, write_cifar, write_mnist, write_tree


def equal(one: ImageSet, other: ImageSet) -> bool:
    return one.digest == other.digest and all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("train_images", "train_labels", "test_images", "test_labels")
    )


@pytest.fixture
def colour() -> Splits:
    return draw(COLOUR)


def test_torchvisions_files_and_every_kind_of_tree_give_the_same_set(tmp_path: Path, colour: Splits) -> None:
    known = write_cifar(tmp_path / "files", pinned(COLOUR, colour), colour)
    write_cifar(tmp_path / "files_below" / "colour", known, colour)
    write_tree(tmp_path / "names", known, colour)
    write_tree(tmp_path / "numbers" / "colour", known, colour, numbered=True)
    write_tree(tmp_path / "reversed", known, colour, reverse=True)
    sets = {
        name: load_known(known, tmp_path / name, tmp_path / f"home_{name}" / "cache", download=False)
        for name in ("files", "files_below", "names", "numbers", "reversed")
    }
    for name, images in sets.items():
        assert equal(images, sets["files"]), name
        assert images.digest == known.digest
        assert images.classes == known.classes
        assert str(tmp_path / name) in images.origin


def test_mnists_files_and_a_tree_of_grey_images_give_the_same_set(tmp_path: Path) -> None:
    splits = draw(GREY)
    write_mnist(tmp_path / "files", splits)
    write_tree(tmp_path / "tree", GREY, splits)
    files = load_known(GREY, tmp_path / "files", tmp_path / "a" / "cache", download=False)
    tree = load_known(GREY, tmp_path / "tree", tmp_path / "b" / "cache", download=False)
    assert equal(files, tree)


def test_without_a_root_the_projects_own_folder_is_looked_at_and_with_one_it_comes_second(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    write_tree(home / "colour", COLOUR, draw(COLOUR, seed=1))
    write_tree(elsewhere, COLOUR, draw(COLOUR, seed=2))
    (tmp_path / "empty").mkdir()
    at_home = load_known(COLOUR, None, home / "cache", download=False)
    assert at_home.origin == str(home / "colour")
    assert equal(load_known(COLOUR, tmp_path / "empty", home / "cache", download=False), at_home)
    assert load_known(COLOUR, elsewhere, home / "cache", download=False).origin == str(elsewhere)


def test_another_sets_tree_in_the_same_root_is_left_alone(tmp_path: Path) -> None:
    write_tree(tmp_path / "root", COLOUR, draw(COLOUR))
    other = DatasetSpec(**{**vars(GREY), "classes": ("ant", "bee", "cat")})
    write_mnist(tmp_path / "root", draw(other))
    assert load_known(other, tmp_path / "root", tmp_path / "cache", download=False).classes == ("ant", "bee", "cat")


def test_types_and_shapes(tmp_path: Path, colour: Splits) -> None:
    write_tree(tmp_path / "colour", COLOUR, colour)
    images = load_known(COLOUR, None, tmp_path / "cache", download=False)
    assert images.train_images.shape == (16, 32, 32, 3)
    assert images.test_images.shape == (6, 32, 32, 3)
    assert images.train_images.dtype == images.test_images.dtype == torch.uint8
    assert images.train_labels.dtype == images.test_labels.dtype == torch.int64
    assert torch.bincount(images.train_labels).tolist() == list(COLOUR.train_counts)
    assert torch.bincount(images.test_labels).tolist() == list(COLOUR.test_counts)


def test_images_are_ordered_by_class_and_then_by_their_bytes() -> None:
    rng = np.random.default_rng(3)
    # Few values and equal beginnings, so that the order is decided late; bytes above 127 must not count as negative.
    pixels = rng.choice(np.array([0, 1, 127, 128, 255], np.uint8), size=(200, 32, 32, 3))
    pixels[:, :31] = 0
    pixels[:50] = pixels[50:100]  # equal images, some of them with unequal labels
    labels = rng.integers(4, size=200)
    expected = sorted((int(label), image.tobytes()) for image, label in zip(pixels, labels, strict=True))
    images, ordered = canonical(pixels, labels)
    assert [(int(label), image.numpy().tobytes()) for image, label in zip(images, ordered, strict=True)] == expected


def test_small_grey_images_get_a_border_of_zeros_and_three_equal_channels() -> None:
    pixels = np.random.default_rng(4).integers(1, 256, size=(5, 28, 28), dtype=np.uint8)
    images, _ = canonical(pixels, np.arange(5))
    assert images.shape == (5, 32, 32, 3)
    for channel in range(3):
        np.testing.assert_array_equal(images[:, 2:30, 2:30, channel].numpy(), pixels)
    images[:, 2:30, 2:30] = 0
    assert not images.any()


@pytest.mark.parametrize("known", REGISTRY.values(), ids=REGISTRY)
def test_what_is_known_of_the_real_sets(known: DatasetSpec) -> None:
    count = config.CLASSES[known.name]
    assert len(set(known.classes)) == len(known.train_counts) == len(known.test_counts) == count
    assert sum(known.train_counts) == (50_000 if known in (CIFAR10_SET, CIFAR100_SET) else 60_000)
    assert sum(known.test_counts) == 10_000
    assert [known.label(str(number)) for number in range(count)] == list(range(count))
    assert known.label(str(count)) is known.label("01") is known.label("unknown") is known.label("") is None


def test_labels_are_torchvisions() -> None:
    assert sorted(CIFAR10_SET.classes) == list(CIFAR10_SET.classes)
    assert tuple(FashionMNIST.classes) == FASHION_MNIST_SET.classes
    assert [known.reader() for known in (CIFAR10_SET, MNIST_SET, FASHION_MNIST_SET)] == [CIFAR10, MNIST, FashionMNIST]
    assert (CIFAR10_SET.layout, MNIST_SET.layout) == ("cifar-10-batches-py", "MNIST/raw")
    assert (CIFAR100_SET.layout, CIFAR100_SET.archive) == (CIFAR100.base_folder, CIFAR100.filename)
    assert list(CIFAR100_SET.classes) == sorted(CIFAR100_SET.classes)
    assert set(CIFAR100_SET.pickles) == {CIFAR100.train_list[0][0], CIFAR100.test_list[0][0], CIFAR100.meta["filename"]}
    assert set(config.CLASSES) == {*REGISTRY, "digits"}
    assert {name for name, known in REGISTRY.items() if known.channels == 1} | {"digits"} == set(config.GREY)
    assert FASHION_MNIST_SET.layout == "FashionMNIST/raw"


@pytest.mark.parametrize(
    ("folder", "label"),
    [("T-shirt_top", 0), ("tshirt-top", 0), ("Trouser", 1), ("ankle boot", 9), ("Ankle_Boot", 9), ("boot", None)],
)
def test_class_folders_are_recognised_whatever_their_case_and_signs(folder: str, label: int | None) -> None:
    assert FASHION_MNIST_SET.label(folder) == label
