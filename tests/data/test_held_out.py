"""The validation split of a known data set, its trimmed images, and Fashion-MNIST in the files that torchvision has."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import pytest
import torch

from scs_study.analysis.collect import flatten
from scs_study.config.schema import DataConfig
from scs_study.data import DataError, ImageSet, load_images
from scs_study.data.datasets import FASHION_MNIST_SET, REGISTRY
from scs_study.data.image_set import held_out, trimmed
from scs_study.experiments.compose import compose_cell
from tests.data.small_sets import draw, write_mnist, write_tree

FASHION = dataclasses.replace(FASHION_MNIST_SET, train_counts=(12,) * 10, test_counts=(2,) * 10)


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small Fashion-MNIST in torchvision's layout."""
    monkeypatch.setitem(REGISTRY, "fashion_mnist", FASHION)
    write_mnist(tmp_path, draw(FASHION))
    (tmp_path / "MNIST").rename(tmp_path / "FashionMNIST")
    return tmp_path


def load(root: Path, **settings: object) -> ImageSet:
    values = {"trim": 2, "channels": 1, **settings}
    data = DataConfig("fashion_mnist", 28, 2, True, **values)  # type: ignore[arg-type]
    return load_images(data, root, root / "cache", download=False)


def rows(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_fashion_mnist_is_read_in_its_own_size_and_channel(fashion: Path) -> None:
    images = load(fashion)
    (train, _), (test, _) = draw(FASHION)
    assert images.train_images.shape == (120, 28, 28, 1)
    assert rows(images.train_images) == {image.tobytes() for image in train}
    assert rows(images.test_images) == {image.tobytes() for image in test}
    assert images.classes[0] == "T-shirt/top"


def test_fashion_mnist_as_it_is_downloaded_and_as_a_tree_is_the_same_set(fashion: Path, tmp_path: Path) -> None:
    """Four compressed files, as its authors give them away, and a folder of PNGs for every kind of clothes."""
    compressed, tree = tmp_path / "compressed", tmp_path / "tree"
    compressed.mkdir()
    for path in (fashion / "FashionMNIST" / "raw").iterdir():
        (compressed / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    write_tree(tree / "fashion_mnist", FASHION, draw(FASHION))
    assert (tree / "fashion_mnist" / "train" / "Ankle boot").is_dir()
    digests = {load(root).digest for root in (fashion, compressed, tree)}
    assert len(digests) == 1


def test_held_out_images_are_training_images_that_are_not_trained_on(fashion: Path) -> None:
    whole, split, again = load(fashion), load(fashion, test_share=0.25, split_seed=4), None
    again, other = (load(fashion, test_share=0.25, split_seed=seed) for seed in (4, 5))
    assert rows(split.train_images) | rows(split.test_images) == rows(whole.train_images)
    assert not rows(split.train_images) & rows(split.test_images)
    assert not rows(split.test_images) & rows(whole.test_images)
    assert split.test_labels.bincount().tolist() == [3] * 10
    assert (split.digest, split.digest) != (whole.digest, other.digest)
    assert split.digest == again.digest
    assert rows(other.test_images) != rows(split.test_images)
    assert len(held_out(whole, 0.001, 0).test_labels) == 10, "one of every class at least"


def test_a_run_on_held_out_images_says_so_wherever_it_is_named() -> None:
    cell = compose_cell({"arch": "test_mnist", "data": "mnist_28_held_out"}, {}, seed=0)
    assert "mnist_28_held_out" in cell.slug
    assert flatten(cell.identity())["data"] == "mnist_held_out"
    assert cell.data.images_key != compose_cell({"arch": "test_mnist", "data": "mnist_28"}, {}, seed=0).data.images_key


def test_pixels_that_are_not_black_are_never_cut_off(fashion: Path) -> None:
    images = load(fashion)
    with pytest.raises(DataError, match=r"data\.trim=3: .* has images with something in that border"):
        trimmed(images, 3)


def test_a_split_without_a_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="one without the other has no effect"):
        DataConfig("mnist", 32, 4, False, test_share=0.1)
