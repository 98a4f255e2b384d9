"""The schedules, step by step; train.warm_up is part of a run's name only where it is given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scs_study.experiments.compose import compose_cell
from scs_study.training.optimizer import make_optimizer, rates


def test_the_rate_rises_on_that_share_of_the_steps() -> None:
    recipe = compose_cell({"train": "batchelor"}, {}, 0).train
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=recipe.max_lr, momentum=0.9)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.001, total_steps=1000, pct_start=0.01)
    table = rates(recipe, 100)[:, 0]
    expected = []
    for _ in range(1000):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert table[:1000].tolist() == expected
    assert int(table.argmax()) == 9


def test_runs_of_recipes_without_it_keep_their_names() -> None:
    assert "warm_up" not in compose_cell({}, {}, 0).identity()["train"]
    assert compose_cell({"train": "batchelor"}, {}, 0).identity()["train"]["warm_up"] == 0.01
    with pytest.raises(ValueError, match=r"train\.warm_up=0\.1 has no effect on train\.schedule=constant"):
        compose_cell({"train": "test_mnist"}, {"train.warm_up": 0.1}, 0)


def test_a_cosine_rises_in_a_line_and_falls_to_nothing() -> None:
    recipe = compose_cell({}, {"train.schedule": "cosine", "train.warm_up": 0.1, "train.epochs": 10}, 0).train
    table = rates(recipe, 20)[:, 0] / recipe.max_lr
    torch.testing.assert_close(table[:20], torch.arange(1, 21, dtype=torch.float64) / 20)
    # torch's own, from its largest rate on
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 180)
    for step in range(20, 200):
        assert float(table[step]) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        theirs.step()
    assert float(table[200]) == pytest.approx(0, abs=1e-12)
    without = compose_cell({}, {"train.schedule": "cosine", "train.epochs": 10}, 0).train
    assert float(rates(without, 20)[0, 0]) == without.max_lr


def test_the_last_steps_keep_the_rate_that_the_cosine_has_come_down_to() -> None:
    recipe = compose_cell({"train": "cct_mixed"}, {}, 0).train
    table = rates(recipe, 391)[:, 0]
    epochs = table[:-1].view(310, 391)
    assert float(table.max()) == float(epochs[9, -1]) == recipe.max_lr  # ten of 310 epochs rise, and ten are level
    torch.testing.assert_close(epochs[-10:], torch.full((10, 391), 1e-5, dtype=torch.float64))
    # torch's own in between, and timm's, which goes on in steps of an epoch
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=recipe.max_lr)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 290, eta_min=1e-5)
    for epoch in range(10, 300):
        assert float(epochs[epoch, 0]) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        theirs.step()
    assert round(recipe.mix_share * recipe.epochs) == 175


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"cool_down": 10}, r"train\.cool_down=10: must be null, or \[share of the steps, rate\]"),
        ({"cool_down": [0.1]}, r"train\.cool_down=\[0\.1\]: must be null, or \[share of the steps, rate\]"),
        ({"cool_down": [10, 0.00001]}, r"train\.cool_down share=10\.0: must be .*at most 0\.99"),
        ({"cool_down": [0.1, "low"]}, r"train\.cool_down=low: must be a number"),
        ({"cool_down": [0.1, 0.1]}, r"train\.cool_down rate=0\.1: must be at most train\.max_lr, 0\.00055"),
        ({"cool_down": [0.98, 0]}, r"cool_down share=0\.98: with train\.warm_up=0\.0333 no step is left"),
        ({"cool_down": [0.1, 0], "schedule": "constant", "warm_up": None}, "has no effect on train.schedule=constant"),
    ],
)
def test_last_steps_that_mean_nothing_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        compose_cell({"train": "cct"}, {f"train.{key}": value for key, value in settings.items()}, 0)


def test_two_stages_are_one_drop_in_the_middle() -> None:
    recipe = compose_cell({"train": "wagner"}, {}, 0).train
    table = rates(recipe, 7)[:-1, 0]
    assert table[:70].tolist() == [1e-3] * 70
    assert table[70:].tolist() == pytest.approx([1e-4] * 70)


def test_adamw_decays_the_weights_and_not_the_gradient() -> None:
    recipe = compose_cell({}, {"train.optimizer": "adamw", "train.weight_decay": 0.06}, 0).train
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    optimizer = make_optimizer(layer, recipe)
    layer.weight.grad, layer.bias.grad = torch.zeros(2, 3), torch.zeros(2)
    optimizer.step()
    torch.testing.assert_close(layer.weight, before * (1 - recipe.max_lr * 0.06))
