"""A cell may start from the trained weights of its convolutional counterpart, which is then computed first, once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from scs_study.config.schema import CellConfig
from scs_study.experiments.compose import compose_cell
from scs_study.experiments.grid import with_parents
from scs_study.launch.inline import inline
from scs_study.launch.slurm import cells_of_tasks
from scs_study.models import build_variant
from scs_study.runs.context import check_checkpoint, place_checkpoint
from scs_study.runs.lock import acquire
from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.run_one import run_cell
from scs_study.runs.state import run_state
from scs_study.system import files
from scs_study.system.tensors import load_tensors, save_tensors
from scs_study.training import run_dir as run_folder
from tests.support import commands
from tests.support.work import run_context


def cell(layer: str = "scs", init: str = "pretrained", seed: int = 0, **settings: object) -> CellConfig:
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    choices = {"arch": "rohrer68k", "layer": layer, "activation": "relu", "pooling": "max", "init": init}
    return compose_cell(choices, {"train.epochs": 2, "train.batch_size": 16, **dotted}, seed)


def test_the_parent_is_the_counterpart_of_the_same_recipe_and_seed() -> None:
    parent = cell(seed=3, train__weight_decay=0.1).parent
    assert parent is not None
    assert parent == cell("conv", "conv2d", seed=3, train__weight_decay=0.1)
    assert cell(init="conv2d").parent is cell(init="uniform").parent is None
    assert "pretrained" in cell().slug
    assert cell().run_name != cell(init="conv2d").run_name


def test_the_twin_is_computed_first_and_its_weights_are_where_the_run_starts(tmp_path: Path) -> None:
    mine, where = cell(), run_context(tmp_path)
    assert mine.parent is not None
    assert run_cell(mine, where).state == "done"
    assert run_state(tmp_path, mine.parent).state == "done"
    trained, _ = load_tensors(tmp_path / mine.parent.run_name / run_folder.WEIGHTS)
    first = files.read_lines(tmp_path / mine.run_name / run_folder.STEPS)[0]
    for path, norm in zip(first["layers"], first["before"], strict=True):
        assert norm == pytest.approx(float(trained[f"{path}.weight"].norm()), rel=1e-6)
    # Whatever starts from it, the twin is computed once.
    outcomes = inline([mine.parent, mine, cell("sdp")], where)
    assert {outcome.state for outcome in outcomes.values()} == {"done"}
    assert len(files.read_lines(tmp_path / mine.parent.run_name / PROVENANCE)) == 1


def test_a_control_has_the_twins_norms_and_not_its_kernels(tmp_path: Path) -> None:
    mine, where = cell(init="uniform_sized_as_pretrained"), run_context(tmp_path)
    assert mine.parent == cell().parent
    assert mine.parent is not None
    assert run_cell(mine, where).state == "done"
    trained, _ = load_tensors(tmp_path / mine.parent.run_name / run_folder.WEIGHTS)
    first = files.read_lines(tmp_path / mine.run_name / run_folder.STEPS)[0]
    for path, norm in zip(first["layers"], first["before"], strict=True):
        assert norm == pytest.approx(float(trained[f"{path}.weight"].norm()), rel=1e-5)
    starts = {
        files.read_lines(tmp_path / each.run_name / PROVENANCE)[0]["shared_checksum"]
        for each in (mine, cell())
        if run_cell(each, where).state == "done"
    }
    assert len(starts) == 2


def test_a_twin_that_another_process_computes_is_waited_for(tmp_path: Path) -> None:
    mine = cell()
    assert mine.parent is not None
    folder = tmp_path / mine.parent.run_name
    folder.mkdir()
    lease = acquire(folder)
    outcome = run_cell(mine, run_context(tmp_path))
    lease.release()
    assert outcome.state == "busy"
    assert "waits for its pretrained weights" in outcome.message
    assert run_state(tmp_path, mine).state == "missing"


def test_without_trained_weights_there_is_no_run_but_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, where = cell(), run_context(tmp_path)
    assert mine.parent is not None
    real = where.images
    asked = iter([RuntimeError("the data are gone")])

    def images(*arguments: object) -> object:
        for error in asked:
            raise error
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(where, "images", images)
    outcome = run_cell(mine, where)
    assert outcome.state == "failed"
    assert outcome.message == f"its pretrained weights would be those of {mine.parent.run_name}, which is failed"
    assert run_cell(mine, where).state == "done"  # repeated, both are made good


def test_a_checkpoint_file_is_part_of_the_identity_by_its_content(tmp_path: Path) -> None:
    weights = build_state()
    for name in ("here.safetensors", "there.safetensors"):
        save_tensors(tmp_path / name, weights)
    names = {cell(init__checkpoint=str(tmp_path / name)).run_name for name in ("here.safetensors", "there.safetensors")}
    assert len(names) == 1
    which = cell(init__checkpoint=str(tmp_path / "here.safetensors"))
    assert re.fullmatch("checkpoint-[0-9a-f]{12}", which.init)
    assert which.parent is None
    save_tensors(tmp_path / "other.safetensors", {**weights, "head.bias": torch.ones(10)})
    assert cell(init__checkpoint=str(tmp_path / "other.safetensors")).run_name not in names
    for control in ("uniform_sized_as_pretrained", "pretrained_sized_as_uniform"):
        named = cell(init=control, init__checkpoint=str(tmp_path / "here.safetensors"))
        assert named.init == control.replace("pretrained", which.init)
        assert named.parent is None
    # Once kept, the weights go by their name too, without the file.
    assert cell(init__checkpoint=which.init) == which
    # An axis over init applies the file where it belongs, and nowhere else.
    assert cell(init="uniform", init__checkpoint=str(tmp_path / "here.safetensors")) == cell(init="uniform")


def test_weights_that_are_not_kept_are_asked_for_before_anything_starts(tmp_path: Path) -> None:
    weights, config = build_state(), OmegaConf.create({"runs": str(tmp_path / "runs")})
    save_tensors(tmp_path / "file.safetensors", weights)
    mine = cell(init__checkpoint=str(tmp_path / "file.safetensors"))
    with pytest.raises(ValueError, match=f"there is no .*{mine.init}.safetensors; give init.checkpoint=<their file>"):
        place_checkpoint(config, [mine], {})
    place_checkpoint(config, [mine], {"init.checkpoint": str(tmp_path / "file.safetensors")})
    place_checkpoint(config, [mine], {})
    place_checkpoint(config, [mine], {"init.checkpoint": mine.init})
    with pytest.raises(ValueError, match="has no effect: no cell starts from pretrained weights"):
        check_checkpoint([cell(init="uniform")], {"init.checkpoint": mine.init})
    check_checkpoint([cell(init="uniform"), mine], {"init.checkpoint": mine.init})
    place_checkpoint(config, [cell(init="uniform")], {"init.checkpoint": str(tmp_path / "gone")})  # not this one's file


def build_state() -> dict[str, torch.Tensor]:
    from scs_study.models.initialization import draw

    plain = cell("conv", "conv2d")
    return build_variant(plain, draw("rohrer68k", 0, "conv2d")).state_dict()


def test_cells_that_need_another_ones_weights_share_its_task() -> None:
    conv, scs, sdp = cell("conv", "conv2d"), cell(), cell("sdp")
    others = [cell(init="uniform", seed=seed) for seed in range(3)]
    assert cells_of_tasks([conv, *others, scs, sdp], 2) == [[conv, scs, sdp], [others[0], others[1]], [others[2]]]
    assert cells_of_tasks(others, 1) == [[each] for each in others]
    # Trained already, or somebody else's to train, it holds nobody together.
    assert cells_of_tasks([scs, sdp], 1) == [[scs], [sdp]]


def test_twins_that_a_study_needs_are_part_of_its_work() -> None:
    conv, scs, sdp = cell("conv", "conv2d"), cell(), cell("sdp")
    assert with_parents([scs, sdp]) == [conv, scs, sdp]
    assert with_parents([scs, conv]) == [scs, conv]
    assert with_parents([cell(init="uniform")]) == [cell(init="uniform")]


def test_a_plan_lists_the_twins(tmp_path: Path) -> None:
    runs = f"runs={tmp_path / 'runs'}"
    line = ["study=quick", "init=pretrained", "layer=scs", "activation=none", "pooling=max", "seed=0", "plan=true"]
    answer = commands.run("replicate.py", *line, runs)
    first, second, count = answer.stdout.splitlines()
    assert first.startswith("rohrer25k-conv-none-max-digits-")
    assert second.startswith("rohrer25k-scs-none-max-pretrained-digits-")
    assert count == "2 cells: 2 missing"
