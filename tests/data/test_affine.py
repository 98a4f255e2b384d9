"""data.affine is torchvision's RandomAffine(degrees, (shift, shift), (low, high), shear): by pixel and in law."""

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
from scs_study.data.affine import draw_affine, maps, seen_through

GALLERY = (8.0, 0.1, 0.9, 1.1, 2.0)


def images(count: int) -> ImageSet:
    pixels = torch.randint(256, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    return ImageSet(pixels, torch.arange(count), pixels[:1], torch.arange(1), (), "", "")


def theirs(count: int, size: tuple[int, int]) -> Tensor:
    """The matrices of what torchvision draws."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        drawn = [
            transforms.RandomAffine.get_params([-8.0, 8.0], [0.1, 0.1], [0.9, 1.1], [-2.0, 2.0], [size[1], size[0]])
            for _ in range(count)
        ]
    rows = torch.tensor([(angle, *shift, scale, shear[0]) for angle, shift, scale, shear in drawn], dtype=torch.float64)
    return maps(*rows.unbind(1), size)


@pytest.mark.parametrize("size", [(32, 32), (28, 20)])
def test_the_matrices_have_the_law_of_torchvisions(size: tuple[int, int]) -> None:
    ours = draw_affine(GALLERY, 4000, size, torch.Generator().manual_seed(6)).flatten(1)
    other = theirs(4000, size).flatten(1)
    for one, two in zip(ours.T.numpy(), other.T.numpy(), strict=True):
        assert stats.ks_2samp(one, two).pvalue > 0.001
    # And together: two independent draws of the same law have the same law of what depends on all of it.
    weights = torch.randn(6, 8, generator=torch.Generator().manual_seed(7))
    for one, two in zip((ours @ weights).T.abs().numpy(), (other @ weights).T.abs().numpy(), strict=True):
        assert stats.ks_2samp(one, two).pvalue > 0.001


@pytest.mark.parametrize("size", [(32, 32), (28, 20)])
def test_every_pixel_is_where_torchvisions_function_puts_it(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(8)
    x = torch.rand(60, 3, *size, generator=generator)
    values = torch.rand(60, 5, generator=generator, dtype=torch.float64)
    angle, right, below = 60 * values[:, 0] - 30, (8 * values[:, 1] - 4).round(), (8 * values[:, 2] - 4).round()
    scale, shear = 0.5 + values[:, 3], 40 * values[:, 4] - 20
    ours = seen_through(x, maps(angle, right, below, scale, shear, size))
    for index, image in enumerate(x):
        shift = [int(right[index]), int(below[index])]
        expected = tvf.affine(image, float(angle[index]), shift, float(scale[index]), [float(shear[index]), 0.0])
        # The nearest of two pixels equally near is a matter of rounding.
        assert (ours[index] == expected).all(0).float().mean() > 0.99


def test_what_an_image_is_seen_through_is_a_function_of_seed_and_epoch_alone() -> None:
    plain = DataConfig("cifar10", 32, 4, True)
    moved = DataConfig("cifar10", 32, 4, True, affine=GALLERY)
    one, other = (Batches(images(50), data, 16, seed=3, device="cpu") for data in (plain, moved))
    again = Batches(images(50), moved, 7, seed=3, device="cpu")
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (the global state is what must not matter)
    assert one.plan(2).affine is None
    affine = other.plan(2).affine
    assert affine is not None
    again.plan(1)
    assert torch.equal(affine, again.plan(2).affine)
    assert not torch.equal(affine, again.plan(3).affine)
    for choice in ("order", "rows", "columns", "flips"):
        assert torch.equal(getattr(one.plan(2), choice), getattr(other.plan(2), choice))
    crops, through = one.train(one.plan(2), 1)[0], other.train(other.plan(2), 1)[0]
    assert torch.equal(seen_through(crops, affine[16:32]), through)
    ((test, _),) = other.test(1)
    assert torch.equal(test[0], images(50).test_images[0].permute(2, 0, 1) / 255)


@pytest.mark.parametrize(
    ("affine", "sentence"),
    [
        ((8.0, 0.1), r"data\.affine=\[8\.0, 0\.1\]: must be null, or \[degrees, shift, scale_low, scale_high, shear\]"),
        ((-8.0, 0.1, 0.9, 1.1, 2.0), "degrees=-8.0: must be at least 0"),
        ((8.0, 0.1, 1.1, 0.9, 2.0), "scale_low=1.1: must be above 0 and at most 0.9"),
    ],
)
def test_settings_that_mean_nothing_are_refused(affine: tuple[float, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        DataConfig("cifar10", 32, 4, True, affine=affine)  # type: ignore[arg-type]
