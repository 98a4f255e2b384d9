"""Rohrer's demos as studies keep his README's promises: runs are repeated and appended, results are shown while they
train, and what is cut short loses nothing (systems.md 4); of few images and epochs here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scs_study.analysis.publish import study_frame
from scs_study.analysis.summary import summary, summary_text
from scs_study.config.schema import CellConfig
from scs_study.data import ImageSet
from scs_study.experiments.grid import load_study, plan
from scs_study.runs.context import RunContext
from scs_study.runs.run_one import run_cell
from scs_study.training.run import Settings
from scs_study.training.stopping import Interrupted
from tests.support.work import content

DEMOS = {  # the images of each, and what his scripts say of their recipe
    "demo_fashion_mnist": ((28, 28, 1), {"batch_size": 100, "max_lr": 0.03, "epochs": 100, "schedule": "onecycle"}),
    "demo_cifar10": ((32, 32, 3), {"batch_size": 64, "max_lr": 0.01, "epochs": 100, "schedule": "onecycle"}),
}


def few(shape: tuple[int, ...]) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    train, test = (torch.randint(256, (n, *shape), dtype=torch.uint8, generator=generator) for n in (200, 40))
    return ImageSet(train, torch.arange(200) % 10, test, torch.arange(40) % 10, (), "few", "")


def stop_in_the_second_epoch(steps: int) -> Callable[[], bool]:
    left = iter(range(steps + 2))
    return lambda: next(left, None) is None


@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_repeats_appends_and_tells_of_runs_that_still_train(name: str, tmp_path: Path) -> None:
    shape, recipe = DEMOS[name]
    study = load_study(name)
    assert len(study.seeds) == 10
    whole = plan(study)
    for cell in whole:
        assert recipe.items() <= vars(cell.train).items()

    def cells(seeds: int) -> list[CellConfig]:
        return plan(dataclasses.replace(study, seeds=tuple(range(seeds))), {"train.epochs": 2})

    images = {cells(1)[0].data.images_key: few(shape)}
    place = RunContext(tmp_path, Settings(torch.device("cpu")), None, tmp_path / "data", _images=images)
    first, second = cells(2)
    assert run_cell(first, place).state == "done"
    done = content(tmp_path / first.run_name)
    with pytest.raises(Interrupted):
        run_cell(second, place, stop=stop_in_the_second_epoch(200 // recipe["batch_size"] + 1))  # type: ignore[operator]
    report = summary(study_frame(cells(2), tmp_path), tmp_path)
    ((group,), (unfinished,)) = report.groups, report.unfinished
    assert group.error.n == 1
    assert (unfinished.run, unfinished.state, unfinished.epoch) == (second.run_name, "interrupted", 1)
    assert unfinished.run in summary_text(report)
    assert [run_cell(cell, place).state for cell in cells(3)] == ["done"] * 3
    assert content(tmp_path / first.run_name) == done, "what is done is never done again"
    (group,) = summary(study_frame(cells(3), tmp_path), tmp_path).groups
    assert group.error.n == 3
