"""train.random_erasing is torchvision's in law, and its noise is what a network that standardises sees as N(0, 1)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from scs_study.config.schema import TrainConfig
from scs_study.data import Batches, ImageSet
from scs_study.data.erasing import AREA, ASPECT, colours, draw_boxes, erased
from scs_study.experiments.compose import compose_cell
from scs_study.system.randomness import own_random_state

DRAWN = 20_000


def recipe(share: object = 0.25, **settings: object) -> TrainConfig:
    given = {"random_erasing": share, **settings}
    return compose_cell({}, {f"train.{key}": value for key, value in given.items()}, 0).train


def theirs(size: tuple[int, int], count: int, share: float) -> torch.Tensor:
    """Boxes as torchvision draws them, which has no number for them after it has erased: (count, 4), as ours."""
    transform, image = v2.RandomErasing(share, AREA, ASPECT, value="random"), torch.empty(1, *size)
    boxes = []
    with own_random_state(1):
        for _ in range(count):
            drawn = transform.make_params([image]) if float(torch.rand(())) < share else {"v": None}
            if drawn["v"] is None:
                boxes.append((0, 0, 0, 0))
            else:
                i, j, h, w = (drawn[key] for key in "ijhw")
                boxes.append((j, i, j + w, i + h))
    return torch.tensor(boxes, dtype=torch.float32)


@pytest.mark.parametrize("size", [(32, 32), (8, 20)])  # in the second one box in ten does not fit
def test_boxes_are_torchvisions_in_law(size: tuple[int, int]) -> None:
    ours = draw_boxes(1.0, DRAWN, size, torch.Generator().manual_seed(0))
    other = theirs(size, DRAWN // 4, 1.0)
    assert ours[:, :2].min() == 0
    assert (ours[:, 2] <= size[1]).all()
    assert (ours[:, 3] <= size[0]).all()
    for measure in (
        lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]),
        lambda b: (b[:, 3] - b[:, 1]) / (b[:, 2] - b[:, 0]),
        lambda b: b[:, 0],
        lambda b: b[:, 1],
        lambda b: b[:, 2],
        lambda b: b[:, 3],
    ):
        mine, its = (measure(boxes[boxes[:, 2] > 0]).numpy() for boxes in (ours, other))
        assert stats.ks_2samp(mine, its).pvalue > 1e-3


def test_pairs_of_height_and_width_are_as_frequent_as_torchvisions() -> None:
    boxes = (draw_boxes(1.0, DRAWN, (8, 8), torch.Generator().manual_seed(2)), theirs((8, 8), DRAWN, 1.0))
    sides = [Counter(map(tuple, (each[:, 2:] - each[:, :2]).int().tolist())) for each in boxes]
    common = [pair for pair in sides[0] | sides[1] if sides[0][pair] + sides[1][pair] >= 20]
    table = np.array([[each[pair] for pair in common] for each in sides])
    assert len(common) > 15
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_the_share_of_erased_images() -> None:
    boxes = draw_boxes(0.25, DRAWN, (32, 32), torch.Generator().manual_seed(3))
    assert stats.binomtest(int((boxes[:, 2] > 0).sum()), DRAWN, 0.25).pvalue > 1e-3
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 32**2
    assert 0.015 < float(areas[areas > 0].min()) < 0.03
    assert 0.3 < float(areas.max()) < 0.36
    assert not draw_boxes(1.0, 50, (1, 999), torch.Generator().manual_seed(3)).any()  # none of ten fits


def test_a_box_is_noise_and_the_rest_is_the_image() -> None:
    x, box = torch.rand(3, 2, 100, 120), torch.tensor([[10.0, 20, 110, 90], [0, 0, 0, 0], [0, 0, 119, 99]])
    mean, deviation = torch.tensor([0.5, -1.0])[:, None, None], torch.tensor([0.2, 3.0])[:, None, None]
    with own_random_state(4):
        found = erased(x, box, mean, deviation)
    assert torch.equal(found[1], x[1])
    assert torch.equal(found[0, :, :20], x[0, :, :20])
    assert torch.equal(found[0, :, 90:], x[0, :, 90:])
    assert torch.equal(found[0, :, :, :10], x[0, :, :, :10])
    assert torch.equal(found[0, :, :, 110:], x[0, :, :, 110:])
    noise = (found[0, :, 20:90, 10:110] - mean) / deviation
    for channel in noise:
        assert stats.kstest(channel.flatten().numpy(), "norm").pvalue > 1e-3
    assert abs(float(torch.corrcoef(noise.flatten(1))[0, 1])) < 0.05
    assert not torch.equal(found[2, :, 20:90, 10:110], found[0, :, 20:90, 10:110])


def images(count: int) -> ImageSet:
    pixels = torch.randint(40, 200, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    pixels[..., 1] //= 2
    return ImageSet(pixels, torch.arange(count) % 10, pixels[:1], torch.arange(1), (), "", "")


def test_colours_are_the_training_images() -> None:
    pixels = images(30).train_images
    mean, deviation = colours(pixels)
    channels = (pixels.double() / 255).permute(3, 0, 1, 2).flatten(1)
    torch.testing.assert_close(mean.flatten().double(), channels.mean(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(deviation.flatten().double(), channels.std(1, correction=0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("more", [{}, {"mixup": 0.8, "cutmix": 1.0}, {"randaugment": [2, 9]}])
def test_what_is_erased_is_a_function_of_seed_and_epoch_alone(more: dict[str, object]) -> None:
    whole, data = images(50), compose_cell({"data": "cifar10"}, {}, 0).data
    plain, ours, again = (Batches(whole, data, 16, 3, "cpu", recipe(share, **more)) for share in (None, 1.0, 1.0))
    again.plan(1)
    torch.rand(5)  # the process's generators are nobody's business for the boxes
    one, other = ours.plan(2), again.plan(2)
    assert one.erasing is not None
    assert other.erasing is not None
    assert torch.equal(one.erasing, other.erasing)
    assert not torch.equal(one.erasing, ours.plan(3).erasing)
    before, labels = plain.train(plain.plan(2), 1)
    with own_random_state(6):
        x, y = ours.train(one, 1)
    with own_random_state(6):
        same, _ = again.train(other, 1)
    assert torch.equal(x, same)
    assert torch.equal(y, labels)
    assert x.is_contiguous(memory_format=torch.channels_last)
    for image, was, (left, top, right, bottom) in zip(x, before, one.erasing[16:32].int().tolist(), strict=True):
        changed = (image != was).any(0).nonzero()
        assert changed.amin(0).tolist() == [top, left]
        assert changed.amax(0).tolist() == [bottom - 1, right - 1]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0, r"train\.random_erasing=0\.0: must be above 0"),
        (1.5, r"train\.random_erasing=1\.5: must be .*at most 1"),
        ("often", r"train\.random_erasing=often: must be a number"),
    ],
)
def test_shares_that_mean_nothing_are_refused(value: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        recipe(value)
