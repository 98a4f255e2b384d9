"""What a study will take: proportional to the epochs that are left, and the disk that runs then really take."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from scs_study.experiments import estimate as module
from scs_study.experiments.compose import compose_cell
from scs_study.experiments.estimate import Estimate, cell_costs, estimate
from scs_study.launch.registry import forecast, timed
from scs_study.runs.progress import duration
from scs_study.runs.run_one import run_cell
from scs_study.training import run_dir as run_folder
from tests.support.work import SCS, cell, few_digits, run_context

CPU = torch.device("cpu")
DIGITS = {"digits": few_digits()}


def test_each_kind_of_network_is_timed_once_and_counts_for_its_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    seconds = iter([1.0, 0.002, 0.001, 0.003, 1.0, 0.0005, 0.0004, 0.0006])  # the first of each four is warm-up
    monkeypatch.setattr(module, "seconds_of", lambda work, device: asked.append(work) or next(seconds))
    other = compose_cell({"arch": "rohrer68k", "pooling": "max"}, {"train.epochs": 3, "train.batch_size": 16}, 1)
    second = replace(other, train=SCS.train)
    found = estimate([(SCS, 3), (second, 2)], cell_costs([SCS, second], DIGITS, CPU))
    assert len(asked) == 8, "pooling and seed make no other kind"
    # 128 training images at 1 ms for 16, 64 test images at 0.4 ms for 16.
    assert found.seconds == pytest.approx(5 * (128 * 0.001 / 16 + 64 * 0.0004 / 16))
    assert (found.cells, found.epochs) == (2, 5)


def test_a_real_network_takes_some_time_and_trains_nothing(tmp_path: Path) -> None:
    found = estimate([(SCS, 3)], cell_costs([SCS], DIGITS, CPU))
    assert found.seconds is not None
    assert 0 < found.seconds < math.inf


def test_nothing_is_timed_for_the_nodes_of_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "seconds_of", lambda work, device: pytest.fail("timed"))
    where, config = run_context(tmp_path), OmegaConf.create({"launch": {"name": "slurm"}})
    cells = [SCS, cell("conv")]
    words = forecast(cells, timed(cells, where, config), where, config)
    assert words.startswith("2 cells, 6 epochs to compute on the cluster, whose nodes cannot be timed from here; ")
    assert words.endswith(" of disk")


@pytest.mark.parametrize("layer", ["conv", "scs"])
def test_the_disk_is_what_a_run_takes(tmp_path: Path, layer: str) -> None:
    which = cell(layer)
    run_cell(which, run_context(tmp_path))
    names = (run_folder.WEIGHTS, *run_folder.EPOCHS)
    taken = sum((tmp_path / which.run_name / name).stat().st_size for name in names)
    assert estimate([(which, 3)], cell_costs([which], DIGITS, CPU)).bytes == pytest.approx(taken, rel=0.1)


def test_the_words_name_the_device_and_share_the_work() -> None:
    words = Estimate(112, 63_200, 7200.0, 2_800_000_000).describe(2, "a device")
    assert words.startswith(
        "112 cells, 63200 epochs to compute: about 60 min on this device with 2 processes (a device;"
    )
    assert words.endswith("about 2.8 GB of disk")
    assert "processes" not in Estimate(1, 1, 1.0, 999).describe(1, "a device")


@pytest.mark.parametrize(
    ("seconds", "words"), [(45, "45 s"), (720, "12 min"), (12_000, "3 h 20 min"), (864_000, "10 days")]
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("engine", "beside", "ends"),
    [
        ("eager", 1, "of disk"),
        ("graphed", 1, "as engine=eager does them, not graphed"),
        ("graphed", 4, "not graphed; what the runs of one process gain by overlapping is not foreseen"),
    ],
)
def test_the_forecast_says_what_was_timed_and_what_was_not(tmp_path: Path, engine: str, beside: int, ends: str) -> None:
    launch = {"name": "inline", "side_by_side": beside}
    config, where = OmegaConf.create({"launch": launch}), run_context(tmp_path, engine=engine)
    assert forecast([SCS], timed([SCS], where, config), where, config).endswith(ends)
