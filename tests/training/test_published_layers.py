"""The published layers stand in a network as every other layer does: they train, are recorded, and have a colour."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from scs_study.analysis.plots.style import color
from scs_study.data import ImageSet
from scs_study.experiments.compose import compose_cell
from scs_study.layers.published import PUBLISHED
from scs_study.layers.registry import LAYERS
from scs_study.models import build_variant, check_cell, initial_weights
from scs_study.system import files
from tests.training.runs import cell, run, traces


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_trains_to_records_that_say_what_it_learns(name: str, images: ImageSet, tmp_path: Path) -> None:
    which = cell(name, epochs=1, data__crop_padding=0)
    check_cell(which)
    assert which.code == ()
    result = run(tmp_path / which.run_name, which, images)
    assert result["state"] in ("done", "untrained")
    (line,) = files.read_lines(tmp_path / which.run_name / "layers.jsonl")
    form = PUBLISHED[name].form
    for record, kernels in zip(line["layers"].values(), (24, 48, 96), strict=True):
        assert len(record["p"]) == kernels
        assert all(math.isfinite(p) and p > 0 for p in record["p"])
        assert (record["q"] is None) == (form.q is None)


@pytest.mark.parametrize("name", ["hogg", "rohrer_may2022"])
def test_what_it_draws_by_itself_is_a_function_of_the_seed(name: str, images: ImageSet, tmp_path: Path) -> None:
    which, other = cell(name, epochs=1), cell(name, epochs=1, layer__options__safe=False)
    torch.manual_seed(1)
    run(tmp_path / "a", which, images)
    torch.manual_seed(2)
    run(tmp_path / "b", which, images)
    assert traces(tmp_path / "a") == traces(tmp_path / "b")
    assert other.run_name != which.run_name
    assert other.identity()["layer"]["options"] == {"safe": False}


def test_a_published_start_of_p_and_a_given_one(tmp_path: Path) -> None:
    own, fixed, given = (
        build_variant(which, initial_weights("rohrer68k", 0, "conv2d", tmp_path).tensors).get_submodule("conv1")
        for which in (cell("wang"), cell("wang", layer__p=1.5), cell("wang", layer__p_init=[1.0, 3.0]))
    )
    published = PUBLISHED["wang"](3, 24, 3).p
    assert published is not None
    assert torch.equal(torch.as_tensor(own.p), published)
    assert torch.allclose(torch.as_tensor(fixed.p), torch.tensor(1.5))
    drawn = torch.as_tensor(given.p)
    assert 1.0 <= drawn.min() < drawn.max() <= 3.0


def test_what_the_published_code_cannot_do_is_refused_before_anything_runs() -> None:
    depthwise = {"arch": "rohrer25k", "layer": "hogg"}
    check_cell(compose_cell(depthwise, {}, 0))
    with pytest.raises(ValueError, match="the published layer of Hogg, 15 Feb 2022 knows no such groups"):
        check_cell(compose_cell(depthwise, {"layer.options.safe": False}, 0))
    with pytest.raises(ValueError, match=r"layer\.options\.safe=3: must be true or false"):
        check_cell(compose_cell(depthwise, {"layer.options.safe": 3}, 0))
    with pytest.raises(ValueError, match=r"layer\.options\.saef: no such .*mean layer\.options\.safe\?"):
        compose_cell(depthwise, {"layer.options.saef": False}, 0)


@pytest.mark.parametrize("pooling", ["max", "maxabs"])
def test_every_layer_has_a_colour_of_its_own(pooling: str) -> None:
    assert len({color(name, pooling) for name in LAYERS}) == len(LAYERS)
