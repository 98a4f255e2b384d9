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
