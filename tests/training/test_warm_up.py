"""train.warm_up is OneCycleLR's pct_start, and part of a run's name only where it is given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scs_study.experiments.compose import compose_cell
from scs_study.training.optimizer import rates


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
