"""Small data sets with everything a real one has, written in each layout that a real one comes in."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100, MNIST

from scs_study.data.datasets import DatasetSpec
from scs_study.data.image_set import Pixels, Split, canonical, image_set
from scs_study.system import tensors

Splits = tuple[Split, Split]

COLOUR = DatasetSpec(
    name="colour",
    title="Small Colour Set",
    classes=("airplane", "T-shirt/top", "truck"),
    size=32,
    channels=3,
    train_counts=(4, 7, 5),
    test_counts=(2, 1, 3),
    digest=None,
    split_digests=None,
    reader=lambda: CIFAR10,
    layout="cifar-10-batches-py",
    download="nothing",
    archive="cifar-10-python.tar.gz",
    pickles=("data_batch_1", "data_batch_2", "test_batch", "batches.meta"),
)
GREY = dataclasses.replace(
    COLOUR,
    name="grey",
    title="Small Grey Set",
    size=28,
    channels=1,
    reader=lambda: MNIST,
    layout="MNIST/raw",
    archive="",
    pickles=(),
)


def draw(known: DatasetSpec, seed: int = 0) -> Splits:
    """Random pixels with the expected counts, in a random order, as a download would have them."""
    rng = np.random.default_rng(seed)
    splits = []
    for counts in (known.train_counts, known.test_counts):
        labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        shape = (
            (len(labels), known.size, known.size) if known.channels == 1 else (len(labels), known.size, known.size, 3)
        )
        splits.append((rng.integers(256, size=shape, dtype=np.uint8), labels))
    return splits[0], splits[1]


def pinned(known: DatasetSpec, splits: Splits) -> DatasetSpec:
    """The data set whose original these splits are."""
    train, test = canonical(*splits[0]), canonical(*splits[1])
    halves = [tensors.checksum({"images": pixels, "labels": labels}) for pixels, labels in (train, test)]
    return dataclasses.replace(
        known, digest=image_set(train, test, (), "").digest, split_digests=(halves[0], halves[1])
    )


def write_tree(folder: Path, known: DatasetSpec, splits: Splits, numbered: bool = False, reverse: bool = False) -> None:
    """A tree of PNG files; class folders named by number or name, files in the order of the splits or reversed."""
    for split, (pixels, labels) in zip(("train", "test"), splits, strict=True):
        for label, name in enumerate(known.classes):
            where = folder / split / (str(label) if numbered else name.replace("/", "_"))
            where.mkdir(parents=True)
            images = pixels[labels == label]
            for number, image in enumerate(images[::-1] if reverse else images):
                Image.fromarray(image).save(where / f"{number:05d}.png")


def write_cifar(folder: Path, known: DatasetSpec, splits: Splits) -> DatasetSpec:
    """The data set with torchvision's reader for the pickles written here: CIFAR-10's layout, other checksums."""
    (train, train_labels), (test, test_labels) = splits
    where = folder / CIFAR10.base_folder
    where.mkdir(parents=True)

    def write(name: str, value: dict[str, Any]) -> tuple[str, str]:
        (where / name).write_bytes(pickle.dumps(value))
        return name, hashlib.md5((where / name).read_bytes()).hexdigest()

    def batch(pixels: Pixels, labels: Any) -> dict[str, Any]:
        return {"data": pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1), "labels": labels.tolist()}

    half = len(train) // 2
    meta = write("batches.meta", {"label_names": list(known.classes)})
    names = {
        "train_list": [
            write("data_batch_1", batch(train[:half], train_labels[:half])),
            write("data_batch_2", batch(train[half:], train_labels[half:])),
        ],
        "test_list": [write("test_batch", batch(test, test_labels))],
        "meta": {"filename": meta[0], "key": "label_names", "md5": meta[1]},
    }
    return dataclasses.replace(known, reader=lambda: type("CIFAR10", (CIFAR10,), names))


def write_mnist(folder: Path, splits: Splits) -> None:
    """MNIST's files of bytes, in torchvision's layout."""
    where = folder / "MNIST" / "raw"
    where.mkdir(parents=True)
    for prefix, (pixels, labels) in zip(("train", "t10k"), splits, strict=True):
        for name, values in (("images-idx3", pixels), ("labels-idx1", labels)):
            header = np.array([0x800 + values.ndim, *values.shape], ">u4").tobytes()
            (where / f"{prefix}-{name}-ubyte").write_bytes(header + values.astype(np.uint8).tobytes())


def write_cifar100(folder: Path, known: DatasetSpec, splits: Splits) -> DatasetSpec:
    """As `write_cifar`, in CIFAR-100's layout: one pickle a split, with fine and coarse labels."""
    where = folder / CIFAR100.base_folder
    where.mkdir(parents=True)

    def write(name: str, value: dict[str, Any]) -> list[str]:
        (where / name).write_bytes(pickle.dumps(value))
        return [name, hashlib.md5((where / name).read_bytes()).hexdigest()]

    def batch(split: Split) -> dict[str, Any]:
        pixels, labels = split
        rows = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
        return {"data": rows, "fine_labels": labels.tolist(), "coarse_labels": [0] * len(labels)}

    meta = write("meta", {"fine_label_names": list(known.classes), "coarse_label_names": ["all"]})
    names = {
        "train_list": [write("train", batch(splits[0]))],
        "test_list": [write("test", batch(splits[1]))],
        "meta": {"filename": meta[0], "key": "fine_label_names", "md5": meta[1]},
    }
    return dataclasses.replace(
        known,
        reader=lambda: type("CIFAR100", (CIFAR100,), names),
        layout=CIFAR100.base_folder,
        archive=CIFAR100.filename,
        pickles=("train", "test", "meta"),
    )
