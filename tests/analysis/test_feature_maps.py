"""Feature maps are what the layers compute, kept beside the run and drawn from there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image

from scs_study.analysis.collect import collect
from scs_study.analysis.feature_maps import FILE, KERNELS, compute, feature_maps, kernels, report
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
    layers, _ = load_tensors(where.runs / one.run_name / KERNELS)
    weights = trained.network.get_submodule("conv1").weight
    assert isinstance(weights, torch.Tensor)
    assert torch.equal(layers["000 conv1"], weights)
    pictures = report(Subject(subject.frame, where.runs, tmp_path / "results"))
    drawn = [path for path in pictures if path.suffix == ".png"]
    assert [path.name.partition("-")[0] for path in drawn] == ["kernels", "maps"]
    for picture in drawn:
        pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
        assert ((pixels[..., 0] - pixels[..., 2]) > 60).any(), "positive matches are orange"
        assert ((pixels[..., 2] - pixels[..., 1]) > 40).any(), "negative ones violet"


def test_the_lowest_seed_of_a_study_is_drawn_and_every_run_that_is_named(tmp_path: Path) -> None:
    where = run_context(tmp_path / "runs")
    for seed in (0, 1):
        run_cell(dataclasses.replace(cell("scs", epochs=1), seed=seed), where)
    frame = collect(where.runs)
    for config, number in ((None, 1), (OmegaConf.create({"match": "*"}), 2)):
        subject = Subject(frame, where.runs, tmp_path / "results", where, config)
        assert compute(subject) == []
        assert len(report(subject)) == number * 4  # kernels and maps, as PNG and PDF


def test_layers_without_kernels_have_none() -> None:
    assert [tuple(values.shape) for values in kernels(tied12()).values()] == [
        (12, 1, 3, 3),
        (12, 1, 3, 3),
        (12, 12, 1, 1),
        (12, 1, 4, 4),
    ]
    assert kernels(torch.nn.Sequential(torch.nn.ReLU())) == {}
