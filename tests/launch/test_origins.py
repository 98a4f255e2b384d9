"""What a run was begun on is what it goes on with: other images or other initial weights begin it again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from torch import nn

from scs_study.launch import run_job
from scs_study.launch.inline import inline
from scs_study.launch.threads import side_by_side
from scs_study.models import ARCHITECTURES, Architecture
from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.run_one import run_cell
from scs_study.system import files
from scs_study.training import checkpoint
from scs_study.training.stopping import Interrupted
from tests.support.work import cell, content, few_digits, run_context
from tests.training.runs import stop_after


def test_a_run_does_not_go_on_with_other_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    which, here = cell(epochs=2), run_context(tmp_path / "runs")
    images = few_digits()
    other = dataclasses.replace(images, train_images=images.train_images.flip(0), digest="others")
    whole = run_context(tmp_path / "whole")
    whole._images["digits"] = other
    run_cell(which, whole)
    with pytest.raises(Interrupted):
        run_cell(which, here, stop_after(12))
    here._images["digits"] = other
    assert run_cell(which, here).state == "done"
    folder = here.runs / which.run_name
    assert (folder / f"{checkpoint.NAME}.damaged-1").exists()
    assert "is of other images than the run has now" in capsys.readouterr().out
    assert content(folder) == content(whole.runs / which.run_name)
    assert [start["data_digest"] for start in files.read_lines(folder / PROVENANCE)] == ["few", "others"]


@pytest.mark.parametrize("engine", ["eager", "graphed"])
def test_networks_that_draw_equal_single_ones_side_by_side(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(num_classes: int, in_channels: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(in_channels, 6, 5),
            nn.MaxPool2d(4),
            nn.Dropout2d(0.3),
            nn.RReLU(),
            nn.Flatten(),
            nn.Linear(294, num_classes),
        )

    monkeypatch.setitem(ARCHITECTURES, "rohrer68k", Architecture(build, (32,)))
    monkeypatch.setattr("scs_study.models.variant.check_code", lambda *_: None)  # it is not what was released
    cells = [cell(seed=seed, epochs=2) for seed in range(3)]
    inline(cells, run_context(tmp_path / "alone"))
    settings = []
    compute = run_job.run_cell
    monkeypatch.setattr(run_job, "run_cell", lambda c, p, *more: (settings.append(p.settings), compute(c, p, *more))[1])
    side_by_side(cells, run_context(tmp_path / "beside", engine=engine), 3)
    assert {each.alone for each in settings} == {False}
    for each in cells:
        assert content(tmp_path / "beside" / each.run_name) == content(tmp_path / "alone" / each.run_name)
