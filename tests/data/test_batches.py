"""Batches: every image once an epoch, in an order and with crops that depend on the seed and the epoch alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scs_study.config.schema import DataConfig
from scs_study.data import Batches, ImageSet, Plan


def images(count: int, test_count: int = 7) -> ImageSet:
    """Random images whose labels are their numbers."""
    generator = torch.Generator().manual_seed(count)
    train, test = (
        torch.randint(256, (n, 32, 32, 3), dtype=torch.uint8, generator=generator) for n in (count, test_count)
    )
    return ImageSet(train, torch.arange(count), test, torch.arange(test_count), (), "", "")


def make(count: int = 50, batch_size: int = 16, seed: int = 0, padding: int = 4, flip: bool = True) -> Batches:
    return Batches(images(count), DataConfig("digits", 32, padding, flip), batch_size, seed, "cpu")


def same(one: Plan, other: Plan, *names: str) -> bool:
    return all(_equal(getattr(one, name), getattr(other, name)) for name in names or vars(one))


def _equal(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)


@settings(max_examples=40)
@given(count=st.integers(1, 40), batch_size=st.integers(1, 50), epoch=st.integers(0, 800))
def test_an_epoch_shows_every_image_once_and_keeps_the_last_partial_batch(
    count: int, batch_size: int, epoch: int
) -> None:
    batches = make(count, batch_size)
    plan = batches.plan(epoch)
    labels = [batches.train(plan, step)[1] for step in range(batches.steps)]
    assert sorted(torch.cat(labels).tolist()) == list(range(count))
    assert [len(y) for y in labels[:-1]] == [batch_size] * (batches.steps - 1)
    assert 1 <= len(labels[-1]) <= batch_size


def test_a_plan_depends_on_nothing_but_seed_and_epoch() -> None:
    plan = make().plan(3)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 (the global state is what must not matter)
    other = make(batch_size=7)
    other.plan(4)
    other.plan(0)
    assert same(plan, other.plan(3))
    assert not torch.equal(plan.order, torch.arange(50))


def test_drawing_a_plan_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    batches = make()
    batches.train(batches.plan(1), 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["order", "rows", "columns", "flips"])
def test_every_choice_changes_with_the_epoch_and_with_the_seed(name: str) -> None:
    drawn = [getattr(make(seed=seed).plan(epoch), name) for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    for number, one in enumerate(drawn):
        assert not any(torch.equal(one, other) for other in drawn[:number])


def test_switching_one_choice_off_leaves_the_others_as_they_are() -> None:
    plan = make().plan(2)
    unflipped, uncropped = make(flip=False).plan(2), make(padding=0).plan(2)
    assert same(plan, unflipped, "order", "rows", "columns")
    assert same(plan, uncropped, "order", "flips")
    assert not unflipped.flips.any()
    assert not uncropped.rows.any()
    assert not uncropped.columns.any()


def test_any_step_of_any_epoch_can_be_made_alone() -> None:
    through = make(seed=5)
    for epoch in range(3):
        plan = through.plan(epoch)
        steps = [through.train(plan, step) for step in range(through.steps)]
    alone = make(seed=5)
    x, y = alone.train(alone.plan(2), 2)
    assert torch.equal(x, steps[2][0])
    assert torch.equal(y, steps[2][1])


def test_a_batch_made_twice_is_the_same_and_the_images_are_unchanged() -> None:
    original = images(50)
    batches = Batches(original, DataConfig("digits", 32, 4, True), 16, 0, "cpu")
    plan = batches.plan(0)
    first = batches.train(plan, 1)[0].clone()
    batches.train(plan, 1)[0].zero_()
    assert torch.equal(batches.train(plan, 1)[0], first)
    assert torch.equal(original.train_images, images(50).train_images)


def test_a_batch_holds_the_images_that_the_plan_names() -> None:
    batches = make(padding=0, flip=False)
    plan = batches.plan(0)
    x, y = batches.train(plan, 3)
    assert torch.equal(y, plan.order[48:])
    assert torch.equal((x.permute(0, 2, 3, 1) * 255).round().to(torch.uint8), images(50).train_images[y])


def test_values_are_exactly_v_over_255_in_float32() -> None:
    ramp = torch.arange(32 * 32 * 3).remainder(256).to(torch.uint8).view(1, 32, 32, 3)
    one = ImageSet(ramp, torch.zeros(1, dtype=torch.int64), ramp, torch.zeros(1, dtype=torch.int64), (), "", "")
    batches = Batches(one, DataConfig("digits", 32, 0, False), 1, 0, "cpu")
    ((test, _),) = batches.test(1)
    for x in (batches.train(batches.plan(0), 0)[0], test):
        assert x.dtype == torch.float32
        expected = np.arange(256, dtype=np.float32) / np.float32(255)
        np.testing.assert_array_equal(x.permute(0, 2, 3, 1).flatten()[:256].numpy(), expected)


def test_batches_are_channels_last() -> None:
    batches = make()
    for x in (batches.train(batches.plan(0), 0)[0], next(batches.test(5))[0]):
        assert x.shape[1:] == (3, 32, 32)
        assert x.is_contiguous(memory_format=torch.channels_last)


def test_test_batches_are_the_test_images_in_order_and_one_at_a_time() -> None:
    batches = make()
    original = images(50)
    seen = list(batches.test(3))
    assert [len(y) for _, y in seen] == [3, 3, 1]
    assert torch.cat([y for _, y in seen]).tolist() == list(range(7))
    pixels = torch.cat([x for x, _ in seen]).permute(0, 2, 3, 1)
    assert torch.equal((pixels * 255).round().to(torch.uint8), original.test_images)
    # Held as bytes; floats exist for one batch only.
    assert all(x.untyped_storage().nbytes() <= 3 * 32 * 32 * 3 * 4 for x, _ in batches.test(3))


@pytest.mark.parametrize("step", [-1, 4])
def test_a_step_outside_the_epoch_is_our_mistake(step: int) -> None:
    batches = make()
    with pytest.raises(AssertionError):
        batches.train(batches.plan(0), step)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("padding", [0, 4])
def test_a_gpu_makes_the_same_batches_bit_by_bit(padding: int) -> None:
    data: dict[str, Any] = {"images": images(300), "data": DataConfig("digits", 32, padding, True)}
    cpu, gpu = (Batches(**data, batch_size=128, seed=1, device=device) for device in ("cpu", "cuda"))
    for step in range(cpu.steps):
        x, y = gpu.train(gpu.plan(4), step)
        expected, labels = cpu.train(cpu.plan(4), step)
        assert x.device.type == y.device.type == "cuda"
        assert torch.equal(x.cpu(), expected)
        assert torch.equal(y.cpu(), labels)
    for (x, _), (expected, _) in zip(gpu.test(4), cpu.test(4), strict=True):
        assert torch.equal(x.cpu(), expected)
