"""Feature maps are what the layers compute, kept beside the run and drawn from there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scs_study.analysis.collect import collect
from scs_study.analysis.feature_maps import FILE, compute, feature_maps, report
from scs_study.analysis.registry import Subject
from scs_study.evaluation.trained import load_trained
from scs_study.models.tied import tied12
from scs_study.runs.run_one import run_cell
from scs_study.system.tensors import load_tensors
from tests.support.work import cell, run_context


def test_a_pair_that_is_applied_four_times_has_four_maps_of_each_kind() -> None:
    network = tied12().eval()
    maps = feature_maps(network, torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    pairs = [f"pair1.{kind}{times}" for times in ("", " (2)", " (3)", " (4)") for kind in ("depthwise", "pointwise")]
    assert list(maps) == ["image", "stem", *pairs, "places"]
    assert [tuple(values.shape) for values in maps.values()][:3] == [(1, 28, 28), (12, 14, 14), (12, 14, 14)]
    torch.testing.assert_close(maps["stem"], network.stem(maps["image"][None])[0])  # type: ignore[operator]


def test_maps_are_kept_beside_the_run_and_drawn_from_there(tmp_path: Path) -> None:
    one = cell("scs", epochs=1)
    where = run_context(tmp_path / "runs")
    assert run_cell(one, where).state in ("done", "untrained")
    subject = Subject(collect(where.runs), where.runs, tmp_path / "results", where)
    assert compute(subject) == []
    kept, notes = load_tensors(where.runs / one.run_name / FILE)
    trained = load_trained(where.runs / one.run_name)
    first = kept["001 conv1"]
    assert torch.equal(first, feature_maps(trained.network, kept["000 image"][None])["conv1"])
    assert notes["weights"] == trained.weights
    picture, _ = report(Subject(subject.frame, where.runs, tmp_path / "results"))
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert ((pixels[..., 0] - pixels[..., 2]) > 60).any(), "positive matches are orange"
    assert ((pixels[..., 2] - pixels[..., 1]) > 40).any(), "negative ones violet"
