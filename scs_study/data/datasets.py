"""The data sets that are read from files, and what each of them must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scs_study.data.image_set import DataError, ImageSet, Split
from scs_study.system import tensors

if TYPE_CHECKING:  # torchvision takes seconds to import, which only a run that reads its files should pay
    from torchvision.datasets import CIFAR10, MNIST


@dataclass(frozen=True)
class DatasetSpec:
    """What a known data set is expected to be.

    classes: names in the order of their labels, which is torchvision's. size: height and width in pixels of the
    original images. channels: theirs, 1 for grey ones. train_counts, test_counts: images of each class.
    digest: of the whole ImageSet; split_digests: of its training and of its test half, to say which one differs.
    Both are None where the project has no original to compare with. reader: gives torchvision's class for it, which
    knows the addresses and checksums. layout: the folder that torchvision keeps it in. download: how much is fetched.
    archive, pickles: the names of CIFAR's archive and of the files in it; "" and () for sets in MNIST's format.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    size: int
    channels: int
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    digest: str | None
    split_digests: tuple[str, str] | None
    reader: Callable[[], type[CIFAR10] | type[MNIST]]
    layout: str
    download: str
    archive: str = ""
    pickles: tuple[str, ...] = ()

    def label(self, folder: str) -> int | None:
        """Return the label that a folder's name stands for: a number, or a class's name whatever its case and signs."""
        if folder.isdecimal():
            return int(folder) if folder == str(int(folder)) and int(folder) < len(self.classes) else None
        names = [letters(name) for name in self.classes]
        return names.index(letters(folder)) if letters(folder) in names else None


def _torchvision(name: str) -> Callable[[], type[CIFAR10] | type[MNIST]]:
    def reader() -> type[CIFAR10] | type[MNIST]:
        from torchvision import datasets

        found: type[CIFAR10] | type[MNIST] = getattr(datasets, name)
        return found

    return reader


# The digests were computed from the original pixels. Torchvision's files and a tree of PNG files give the same ones.
CIFAR10_SET = DatasetSpec(
    name="cifar10",
    title="CIFAR-10",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    size=32,
    channels=3,
    train_counts=(5000,) * 10,
    test_counts=(1000,) * 10,
    digest="7b9ed309cd150c6c43b5103a3abe9a74e1032969a5acf9b7ff06d8c9b499ce40",
    split_digests=(
        "a9300f7c3e842d681e90e2c736dcf799db9baffae89d41bfa5a78f0cd68826a1",
        "3b2e625ba4387a350b9294e2176f5b45fc9af4e5445f9d6c1c3ab99875776601",
    ),
    reader=_torchvision("CIFAR10"),
    layout="cifar-10-batches-py",
    download="170 MB",
    archive="cifar-10-python.tar.gz",
    pickles=(*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"),
)
_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
# No original of CIFAR-100 was at hand to compute its digest from: torchvision's md5 sums are checked, and of a tree of
# images the counts and sizes.
CIFAR100_SET = DatasetSpec(
    name="cifar100",
    title="CIFAR-100",
    classes=tuple(_CIFAR100_CLASSES.split()),
    size=32,
    channels=3,
    train_counts=(500,) * 100,
    test_counts=(100,) * 100,
    digest=None,
    split_digests=None,
    reader=_torchvision("CIFAR100"),
    layout="cifar-100-python",
    download="169 MB",
    archive="cifar-100-python.tar.gz",
    pickles=("train", "test", "meta"),
)
MNIST_SET = DatasetSpec(
    name="mnist",
    title="MNIST",
    classes=tuple("0123456789"),
    size=28,
    channels=1,
    train_counts=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    test_counts=(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    digest="1d6d6068236f5ca2587ca41707143c47ca094735b894e96047a9443f5950fee9",
    split_digests=(
        "168c70e02df032e795fd719265898d01ed4696dc4a398d04963355f2a6df78af",
        "fbe564d59762c37b0e3f51e9650e44d3e4de30e22347319f832b89ff1c10e47e",
    ),
    reader=_torchvision("MNIST"),
    layout="MNIST/raw",
    download="12 MB",
)
# Only the counts of Fashion-MNIST are checked: no original was at hand to compute its digest from. A download is
# checked by torchvision's md5 sums.
FASHION_MNIST_SET = DatasetSpec(
    name="fashion_mnist",
    title="Fashion-MNIST",
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    size=28,
    channels=1,
    train_counts=(6000,) * 10,
    test_counts=(1000,) * 10,
    digest=None,
    split_digests=None,
    reader=_torchvision("FashionMNIST"),
    layout="FashionMNIST/raw",
    download="31 MB",
)
REGISTRY = {known.name: known for known in (CIFAR10_SET, CIFAR100_SET, MNIST_SET, FASHION_MNIST_SET)}
"""The data sets that are read from files and known, by name; the bundled digits are in data/digits.py."""


def check_split(known: DatasetSpec, split: Split, counts: tuple[int, ...], where: str) -> None:
    """Check that a split has the expected shapes and counts. Raises DataError naming `where`."""
    pixels, labels = split
    shape = (known.size, known.size) if known.channels == 1 else (known.size, known.size, 3)
    if pixels.shape[1:] != shape or len(pixels) != len(labels):
        raise DataError(
            f"{where} is not {known.title}: it has {len(labels)} labels and pixels of shape {pixels.shape}, "
            f"not {shape} for each image"
        )
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(known.classes):
        raise DataError(f"{where} is not {known.title}: it has labels outside 0..{len(known.classes) - 1}")
    for name, found, expected in zip(known.classes, np.bincount(labels, minlength=len(counts)), counts, strict=True):
        check_count(known, name, int(found), expected, where)


def check_count(known: DatasetSpec, name: str, found: int, expected: int, where: str) -> None:
    """Check that a class has the expected number of images. Raises DataError naming `where` and the class."""
    if found != expected:
        raise DataError(f"{where} has {found} images of the class {name}, but {known.title} has {expected}")


def check_content(known: DatasetSpec, images: ImageSet) -> None:
    """Check that the pixels and labels are those of the original. Raises DataError saying which split differs."""
    if known.split_digests is None or images.digest == known.digest:
        return
    splits = {
        "training": (images.train_images, images.train_labels),
        "test": (images.test_images, images.test_labels),
    }
    differing = []
    for (split, (pixels, labels)), expected in zip(splits.items(), known.split_digests, strict=True):
        if tensors.checksum({"images": pixels, "labels": labels}) != expected:
            means = ", ".join(f"{mean:.5f}" for mean in (pixels.double().mean((0, 1, 2)) / 255).tolist())
            differing.append(f"the {split} images or their classes (channel means here: {means})")
    raise DataError(
        f"{images.origin} is not the original {known.title}: the counts are right ({len(images.train_labels)} training "
        f"and {len(images.test_labels)} test images), but {' and '.join(differing)} differ; resized, lossy (JPEG) or "
        f"substituted images are refused because their results could not be compared"
    )


def letters(name: str) -> str:
    """Return a name without its signs and in lower case: CIFAR-10 and cifar10 are one."""
    return "".join(sign for sign in name.casefold() if sign.isalnum())
