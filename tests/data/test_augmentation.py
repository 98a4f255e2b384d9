"""The augmentation is torchvision's RandomCrop(32, padding=4) and RandomHorizontalFlip(0.5), in law and by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tvf
from scipy import stats
from torch import Tensor
from torchvision import transforms

from scs_study.config.schema import DataConfig
from scs_study.data import Batches, ImageSet

PLACES = 9 * 9 * 2  # rows x columns x mirrored or not


def image_set(train: Tensor, test: Tensor | None = None) -> ImageSet:
    test = train[:1] if test is None else test
    labels = torch.arange(len(train))
    return ImageSet(train, labels, test, torch.arange(len(test)), (), "", "")


def map_of_places() -> Tensor:
    """An image, uint8 (32, 32, 3), whose pixels say where they are: (1 + row, 1 + column, 0)."""
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    return torch.stack([rows + 1, columns + 1, torch.zeros_like(rows)], dim=-1).to(torch.uint8)


def places(x: Tensor) -> np.ndarray:
    """The number in 0..161 of each image's placement, from augmented maps of places, float32 (B, 3, 32, 32)."""
    pixels = (x * 255).round().long()
    row = pixels[:, 0, 16, 16] - 1 - 16 + 4  # 0..8: no border is 4 pixels wide at the centre
    mirrored = (pixels[:, 1, 16, 16] < pixels[:, 1, 16, 15]).long()
    column = torch.where(mirrored == 1, pixels[:, 1, 16, 15], pixels[:, 1, 16, 16]) - 1 - 16 + 4
    for offset in (row, column):
        assert offset.min() >= 0
        assert offset.max() <= 8
    return ((row * 9 + column) * 2 + mirrored).numpy()


def our_places(epochs: int, padding: int = 4, flip: bool = True) -> np.ndarray:
    """Placements of 1,620 images an epoch, (epochs, 1620), each in the order of the images."""
    images = image_set(map_of_places().expand(1620, -1, -1, -1).contiguous())
    batches = Batches(images, DataConfig("digits", 32, padding, flip), 405, seed=11, device="cpu")
    found = np.empty((epochs, 1620), np.int64)
    for epoch in range(epochs):
        plan = batches.plan(epoch)
        for step in range(batches.steps):
            x, y = batches.train(plan, step)
            found[epoch, y.numpy()] = places(x)
    return found


def torchvisions_places(count: int) -> np.ndarray:
    transform = transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(0.5)])
    image = map_of_places().permute(2, 0, 1)
    with torch.random.fork_rng():
        torch.manual_seed(12)
        return places(torch.stack([transform(image) for _ in range(count)]) / 255)


def test_each_of_the_162_placements_is_equally_likely() -> None:
    counts = np.bincount(our_places(epochs=20).ravel(), minlength=PLACES)
    assert counts.sum() == 200 * PLACES
    assert stats.chisquare(counts).pvalue > 0.001


def test_the_placements_have_the_law_of_torchvisions() -> None:
    ours = np.bincount(our_places(epochs=5).ravel(), minlength=PLACES)
    theirs = np.bincount(torchvisions_places(50 * PLACES), minlength=PLACES)
    assert ours.sum() == theirs.sum()
    assert stats.chi2_contingency(np.stack([ours, theirs])).pvalue > 0.001


def test_an_images_placements_in_two_epochs_and_its_neighbours_are_independent() -> None:
    found = our_places(epochs=20)
    row, mirrored = found // 18, found % 2
    for one, other in (
        (row[:-1], row[1:]),
        (mirrored[:-1], mirrored[1:]),
        (row[:, :-1], row[:, 1:]),
        (mirrored[:, :-1], mirrored[:, 1:]),
    ):
        table = np.zeros((one.max() + 1, other.max() + 1))
        np.add.at(table, (one.ravel(), other.ravel()), 1)
        assert stats.chi2_contingency(table).pvalue > 0.001


def test_without_flip_and_padding_every_image_stays_as_it_is() -> None:
    assert (our_places(epochs=1, padding=0, flip=False) == (4 * 9 + 4) * 2).all()
    assert (our_places(epochs=1, padding=4, flip=False) % 2 == 0).all()
    assert set(our_places(epochs=1, padding=0, flip=True).ravel() // 2) == {4 * 9 + 4}


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("flip", [False, True])
def test_every_pixel_is_where_torchvisions_functions_put_it(padding: int, flip: bool) -> None:
    generator = torch.Generator().manual_seed(13)
    originals = torch.randint(256, (90, 32, 32, 3), dtype=torch.uint8, generator=generator)
    batches = Batches(image_set(originals), DataConfig("digits", 32, padding, flip), 40, seed=3, device="cpu")
    plan = batches.plan(epoch=5)
    for step in range(batches.steps):
        x, y = batches.train(plan, step)
        for position, (augmented, index) in enumerate(zip(x, y.tolist(), strict=True), start=step * 40):
            image = tvf.pad(originals[index].permute(2, 0, 1), [padding])
            expected = tvf.crop(image, int(plan.rows[position]), int(plan.columns[position]), 32, 32)
            expected = tvf.hflip(expected) if plan.flips[position] else expected
            assert torch.equal(augmented, tvf.convert_image_dtype(expected, torch.float32))


@pytest.mark.parametrize("size", [16, 33, 64])
def test_another_size_is_torchvisions_bilinear_resize_of_the_augmented_image(size: int) -> None:
    generator = torch.Generator().manual_seed(14)
    originals = torch.randint(256, (20, 32, 32, 3), dtype=torch.uint8, generator=generator)
    small = Batches(image_set(originals, originals), DataConfig("cifar10", 32, 4, True), 16, seed=3, device="cpu")
    resized = Batches(image_set(originals, originals), DataConfig("cifar10", size, 4, True), 16, seed=3, device="cpu")
    pairs = [
        (resized.train(resized.plan(2), 1), small.train(small.plan(2), 1)),
        *zip(resized.test(8), small.test(8), strict=True),
    ]
    for (x, y), (original, label) in pairs:
        expected = tvf.resize(original, [size, size], tvf.InterpolationMode.BILINEAR, antialias=False)
        assert x.shape == (len(y), 3, size, size)
        torch.testing.assert_close(x, expected, rtol=0, atol=1e-6)
        assert torch.equal(y, label)
        assert x.min() >= 0
        assert x.max() <= 1


def test_the_resize_is_the_bilinear_formula_in_float64() -> None:
    """Half-pixel centres, clamped at the border: position (i + 1/2) * 32 / S - 1/2."""
    size = 224
    image = torch.randint(256, (1, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(15))
    batches = Batches(image_set(image), DataConfig("cifar10", size, 0, False), 1, seed=0, device="cpu")
    ((x, _),) = batches.test(1)
    position = np.clip((np.arange(size) + 0.5) * 32 / size - 0.5, 0, None)
    low = np.floor(position).astype(int)
    weight = np.zeros((size, 32))
    weight[np.arange(size), low] += 1 - (position - low)
    weight[np.arange(size), np.minimum(low + 1, 31)] += position - low
    expected = np.einsum("ir,jc,rck->kij", weight, weight, image[0].double().numpy() / 255)
    # Positions up to 32 are float32 numbers, 4e-6 apart.
    np.testing.assert_allclose(x[0].numpy(), expected, rtol=0, atol=1e-5)
