"""What a data set is once it is in memory, and the one way in which reading it may fail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scs_study.system import tensors

SIDE = 32
"""Height and width in pixels of the images of every known set: the size that the paper's architectures take."""

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Split = tuple[Pixels, Labels]
"""The images, uint8 (N, H, W) or (N, H, W, 3), and labels, (N,), of a training or test set as they were read."""


class DataError(ValueError):
    """Data that is missing, damaged or not what it claims to be, in one sentence that names the place."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The training and test images of a data set, on the CPU.

    train_images, test_images: uint8 (N, height, width, channels), 32x32x3 for the known sets; train_labels,
    test_labels: int64 (N,), indices into classes, which are the classes' names. Images are ordered by class, then by
    their bytes (those of their files, in a folder of one's own), so the order says nothing about where they were read.
    digest: hex SHA-256 of types, shapes, pixels and labels of both splits; equal content has an equal digest.
    origin: where the images were read from, in words or as a path.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    digest: str
    origin: str

    def spaced_test_images(self, count: int) -> Tensor:
        """Return at most `count` test images, taken at equal distances: they are ordered by class."""
        return self.test_images[:: max(1, len(self.test_labels) // count)][:count]


def canonical(images: Pixels, labels: Labels) -> tuple[Tensor, Tensor]:
    """Return the images, uint8 (N, 32, 32, 3), and labels, int64 (N,), of one split in canonical order.

    images: uint8 (N, H, W) or (N, H, W, 3), at most 32 pixels wide and high. Smaller ones get an equal border of zeros
    on each side, grey ones are repeated to three channels: every architecture takes 32x32x3.
    """
    height, width = images.shape[1:3]
    assert height == width <= SIDE
    assert (SIDE - height) % 2 == 0
    rows = images.reshape(len(images), -1)
    # A void type makes numpy compare whole images as strings of bytes.
    content = np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").ravel()
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    order = np.concatenate([of_class[np.argsort(content[of_class], kind="stable")] for of_class in members])
    border = (SIDE - height) // 2
    final = np.zeros((len(images), SIDE, SIDE, 3), np.uint8)
    final[:, border : border + height, border : border + width] = images[order].reshape(len(images), height, width, -1)
    return torch.from_numpy(final), torch.from_numpy(labels[order].astype(np.int64))


def grey(images: ImageSet) -> ImageSet:
    """Return images whose three channels are equal with one of them. Raises DataError where there are colours."""
    for pixels in (images.train_images, images.test_images):
        if (pixels != pixels[..., :1]).any():
            raise DataError(f"data.channels=1: {images.origin} has images with colours")
    train, test = (pixels[..., :1].contiguous() for pixels in (images.train_images, images.test_images))
    return image_set((train, images.train_labels), (test, images.test_labels), images.classes, images.origin)


def trimmed(images: ImageSet, pixels: int) -> ImageSet:
    """Return images without `pixels` pixels on every side. Raises DataError where these are not all black."""
    cut = []
    for every in (images.train_images, images.test_images):
        inner = every[:, pixels:-pixels, pixels:-pixels].contiguous()
        if int(inner.sum(dtype=torch.int64)) != int(every.sum(dtype=torch.int64)):
            raise DataError(f"data.trim={pixels}: {images.origin} has images with something in that border")
        cut.append(inner)
    train, test = cut
    return image_set((train, images.train_labels), (test, images.test_labels), images.classes, images.origin)


def held_out(images: ImageSet, share: float, seed: int) -> ImageSet:
    """Return the training images alone, `share` of every class of them (one at least) in the place of the test images.

    Which ones is a function of the seed and the number of images of each class; the test images are in neither part.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.zeros(len(images.train_labels), dtype=torch.bool)
    for label in range(len(images.classes)):
        members = torch.where(images.train_labels == label)[0]
        count = max(1, round(share * len(members)))
        chosen[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    parts = [(images.train_images[mask], images.train_labels[mask]) for mask in (~chosen, chosen)]
    return image_set(parts[0], parts[1], images.classes, f"{images.origin} (validation images held out)")


def image_set(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], classes: tuple[str, ...], origin: str
) -> ImageSet:
    """Return the image set of two splits in canonical order, with its digest."""
    named = {"train_images": train[0], "train_labels": train[1], "test_images": test[0], "test_labels": test[1]}
    return ImageSet(*train, *test, classes=classes, digest=tensors.checksum(named), origin=origin)
