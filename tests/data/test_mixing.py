"""train.randaugment, train.mixup and train.cutmix are torchvision's: to the bit of their images, and in law."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from scipy import stats
from torch.nn.functional import one_hot
from torchvision.transforms import v2

from scs_study.config.schema import TrainConfig, cell_from_dict
from scs_study.data import Batches, ImageSet
from scs_study.data.mixing import UNMIXED, draw_mixing, mixed
from scs_study.data.randaugment import OPERATIONS, SIGNED, augmented, draw_operations
from scs_study.experiments.compose import compose_cell


def recipe(**settings: Any) -> TrainConfig:
    return compose_cell({}, {f"train.{key}": value for key, value in settings.items()}, 0).train


def images(count: int, side: int = 32, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(256, (count, side, side, channels), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("magnitude", [0, 9, 27, 30])
def test_every_operation_is_torchvisions_to_the_bit(magnitude: int) -> None:
    signs = [(name, sign) for name in OPERATIONS for sign in ((1, -1) if name in SIGNED else (1,))]
    theirs, kinds, pixels = [], [], images(len(signs))
    pixels[:, :8] = 128  # a part without contrast
    transform = v2.RandAugment(magnitude=magnitude)
    assert list(transform._AUGMENTATION_SPACE) == list(OPERATIONS)
    for image, (name, sign) in zip(pixels, signs, strict=True):
        values, signed = transform._AUGMENTATION_SPACE[name]
        assert signed == (name in SIGNED)
        found = values(transform.num_magnitude_bins, 32, 32)
        strength = sign * float(0 if found is None else found[magnitude])
        theirs.append(
            transform._apply_image_or_video_transform(
                image.permute(2, 0, 1), name, strength, transform.interpolation, transform._fill
            ).permute(1, 2, 0)
        )
        kind = OPERATIONS.index(name)
        kinds.append(kind if sign > 0 else -1 - kind)
    before = pixels.clone()
    ours = augmented(pixels, torch.tensor([kinds]), magnitude)
    assert torch.equal(pixels, before)
    for (name, sign), mine, other in zip(signs, ours, torch.stack(theirs), strict=True):
        assert torch.equal(mine, other), (name, sign)
    assert augmented(images(14, 20, 1), torch.arange(14)[None], magnitude).shape == (14, 20, 20, 1)


def test_operations_follow_each_other_and_are_drawn_evenly() -> None:
    pixels, brightness, solarize = images(3), OPERATIONS.index("Brightness"), OPERATIONS.index("Solarize")
    both = augmented(pixels, torch.tensor([[brightness] * 3, [solarize] * 3]), 9)
    one = augmented(augmented(pixels, torch.tensor([[brightness] * 3]), 9), torch.tensor([[solarize] * 3]), 9)
    assert torch.equal(both, one)
    assert not torch.equal(both, augmented(pixels, torch.tensor([[solarize] * 3, [brightness] * 3]), 9))
    drawn = draw_operations(14_000, 2, torch.Generator().manual_seed(0))
    counts = Counter(drawn.flatten().tolist())
    shares = {kind: 1 / 28 if OPERATIONS[max(kind, -1 - kind)] in SIGNED else 1 / 14 for kind in counts}
    assert len(counts) == len(OPERATIONS) + len(SIGNED)
    assert stats.chisquare(list(counts.values()), [28_000 * shares[kind] for kind in counts]).pvalue > 1e-4
    assert len(set(zip(*drawn.tolist(), strict=True))) == 23**2


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_batch_is_mixed_as_torchvision_does(kind: str) -> None:
    x, y = torch.rand(6, 3, 20, 28), torch.tensor([0, 1, 2, 2, 1, 0])
    (row,) = draw_mixing(recipe(**{kind: 1.0}), 1, 1, (20, 28), seed=5)
    ours, shares = mixed(x, y, row.repeat(6, 1), 3)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(5)
        theirs, labels = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[kind](alpha=1.0, num_classes=3)(x, y)
    assert torch.equal(ours, theirs)
    torch.testing.assert_close(shares, labels)
    assert not torch.equal(ours, x)
    plain, hard = mixed(x, y, torch.tensor(UNMIXED).repeat(6, 1), 3)
    assert torch.equal(plain, x)
    assert torch.equal(hard, one_hot(y, 3).float())


def test_half_of_the_batches_are_mixed_by_either_until_their_share_of_the_epochs_is_over() -> None:
    both = recipe(mixup=0.8, cutmix=1.0, epochs=10, mix_share=0.6)
    rows = draw_mixing(both, 6, 400, (32, 32), seed=1)
    by_mixup = rows[rows[:, 1] != 1]
    assert 150 < len(by_mixup) < 250
    assert stats.kstest(by_mixup[:, 0].numpy(), stats.beta(0.8, 0.8).cdf).pvalue > 1e-3
    assert torch.equal(draw_mixing(both, 7, 2, (32, 32), seed=1), torch.tensor(UNMIXED).repeat(2, 1))


def test_an_epoch_is_a_function_of_seed_and_epoch_alone() -> None:
    pixels = images(50)
    data = compose_cell({"data": "cifar10"}, {}, 0).data
    whole = ImageSet(pixels, torch.arange(50) % 10, pixels[:1], torch.arange(1), (), "", "")
    mixing = recipe(randaugment=[2, 9], mixup=0.8, cutmix=1.0)
    one, plain = (Batches(whole, data, 16, 3, "cpu", each) for each in (mixing, recipe()))
    torch.rand(5)  # the process's generators are nobody's business
    first, other = one.plan(2), plain.plan(2)
    for name in ("order", "rows", "columns", "flips"):
        assert torch.equal(getattr(first, name), getattr(other, name))
    again = Batches(whole, data, 16, 3, "cpu", mixing)
    again.plan(1)
    for step in range(4):
        (x, shares), (y, same) = one.train(first, step), again.train(again.plan(2), step)
        assert torch.equal(x, y)
        assert torch.equal(shares, same)
        assert shares.shape == (len(x), 10)
        assert x.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(shares.sum(1), torch.ones(len(x)))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"randaugment": 9}, r"train\.randaugment=9: must be null, or \[operations, magnitude\] such as \[2, 9\]"),
        ({"randaugment": [2, 31]}, r"randaugment magnitude=31: must be at least 0 and at most 30"),
        ({"randaugment": [0, 9]}, "randaugment operations=0: must be at least 1"),
        ({"mixup": 0}, r"train\.mixup=0\.0: must be above 0"),
        ({"cutmix": "yes"}, r"train\.cutmix=yes: must be a number"),
        ({"mix_share": 0.5}, r"train\.mix_share=0\.5 has no effect without train\.mixup or train\.cutmix"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        recipe(**settings)


def test_a_generator_and_a_discriminator_know_no_classes_to_mix() -> None:
    choices = {"arch": "scs_gan", "objective": "adversarial", "train": "dcgan", "data": "mnist_64"}
    with pytest.raises(ValueError, match="mix classes, of which objective=adversarial knows none"):
        compose_cell(choices, {"train.mixup": 0.2}, 0)


def test_only_runs_that_use_them_are_named_after_them() -> None:
    plain = compose_cell({"train": "cct"}, {}, 0)
    younger = {"randaugment", "mixup", "cutmix", "mix_share", "random_erasing", "cool_down"}
    assert younger & plain.identity()["train"].keys() == set()
    full = compose_cell({"train": "cct_mixed"}, {}, 0)
    added = {"randaugment": [1, 27], "mixup": 0.8, "cutmix": 1.0, "mix_share": 0.5645, "random_erasing": 0.25}
    rates = {"epochs": 310, "warm_up": 0.032258, "cool_down": [0.032258, 0.00001]}
    assert full.identity()["train"] == {**plain.identity()["train"], **added, **rates}
    assert cell_from_dict(full.identity()) == full
    assert full.run_name != plain.run_name
