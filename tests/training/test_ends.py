"""How a run ends: diverged or untrained, with the layer and the step at which a gradient left its bounds."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from scs_study.data import ImageSet
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from scs_study.training.objectives.classification import Classification
from scs_study.training.step_log import StepLog
from tests.training.runs import cell, run


def test_a_network_that_cannot_learn_ends_as_untrained_with_the_place_and_the_step(
    images: ImageSet, tmp_path: Path
) -> None:
    """|c|^100 of a cosine: what a power does to a deep network (paper 5), here in three layers."""
    which = cell("scs", 2, layer__p=100.0, layer__p_init=None)
    result = run(tmp_path / "run", which, images)
    assert result["state"] == "untrained"
    assert result["gradient_left_bounds"] == {"epoch": 1, "step": 0, "layer": "conv1", "gradient_norm": 0.0}
    status = files.read_json(tmp_path / "run" / run_folder.STATUS)
    assert status["state"] == "untrained"
    assert status["message"] == "the accuracy never left chance; the gradient norm of conv1 was 0 in epoch 1, step 0"
    assert (tmp_path / "run" / run_folder.WEIGHTS).exists()


def test_chance_is_a_guessers_accuracy_within_three_standard_deviations(images: ImageSet) -> None:
    share = int(images.test_labels.bincount().max()) / len(images.test_labels)
    bound = share + 3 * (share * (1 - share) / len(images.test_labels)) ** 0.5
    for accuracy, left in ((bound - 1e-6, False), (bound + 1e-6, True), (None, False)):
        history = [{"train_accuracy": 0.0, "test_accuracy": accuracy}]
        assert Classification(cell()).left_chance(history, images) is left


def test_a_network_that_died_after_some_steps_never_left_chance(images: ImageSet) -> None:
    labels = torch.arange(50_000) % 10  # as many as CIFAR-10's, of which three standard deviations are 0.4 points
    many = dataclasses.replace(images, train_labels=labels, test_labels=labels[:10_000])
    for accuracy, left in ((0.106, False), (0.111, True)):
        line = {"train_accuracy": accuracy, "test_accuracy": 0.1}
        assert Classification(cell()).left_chance([line], many) is left


def test_divergence_is_a_result(images: ImageSet, tmp_path: Path) -> None:
    which = cell("conv", 4, train__optimizer="sgd", train__momentum=0.9, train__max_lr=1e6, train__schedule="constant")
    result = run(tmp_path / "run", which, images)
    assert result["state"] == "diverged"
    assert result["diverged"]["epoch"] == 1
    assert "not finite" in result["diverged"]["reason"]
    assert result["gradient_left_bounds"]["layer"] in ("conv1", "conv2", "conv3")
    history = files.read_lines(tmp_path / "run" / run_folder.HISTORY)
    assert history[-1]["test_accuracy"] is None
    status = files.read_json(tmp_path / "run" / run_folder.STATUS)
    assert status["state"] == "diverged"
    assert "; the gradient norm of conv" in status["message"]
    json.dumps(result, allow_nan=False)


def test_a_violation_names_the_step_and_the_layer_that_is_farthest_outside() -> None:
    log, names = StepLog.empty(5, 3, torch.device("cpu")), ("stem", "middle", "last")
    log.done = 5
    log.gradient_norm[:] = torch.tensor(
        [[1.0, 1.0, 1.0], [5e-5, 1e-6, 1.0], [1e-9, 1.0, 1.0], [2e6, 3e7, 1.0], [math.nan, math.inf, 1e9]]
    )
    found = log.first_violations(names)
    assert found["vanished"] == {"step": 1, "layer": "middle", "gradient_norm": pytest.approx(1e-6)}
    assert found["exploded"] == {"step": 3, "layer": "middle", "gradient_norm": pytest.approx(3e7)}
    log.gradient_norm[:4] = 1.0
    # Backward the last of those that are not finite came first, and handed it to those before it.
    assert log.first_violations(names) == {"exploded": {"step": 4, "layer": "middle", "gradient_norm": None}}
    log.done = 4
    assert log.first_violations(names) == {}


def test_a_run_that_diverged_names_what_exploded_and_not_what_had_been_small_before(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scs_study.training.step_log.GRADIENT_BOUNDS", (1.0, 1e6))  # so that all are small at first
    which = cell("conv", 4, train__optimizer="sgd", train__momentum=0.9, train__max_lr=1e6, train__schedule="constant")
    result = run(tmp_path / "run", which, images)
    norm = result["gradient_left_bounds"]["gradient_norm"]
    assert result["state"] == "diverged"
    assert norm is None or norm > 1e6
