"""A study's cells: exactly the paper's where it stands for a table, each once, checked before anything runs."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from scs_study.analysis.paper import paper_table
from scs_study.experiments.compose import load_option, options
from scs_study.experiments.grid import Study, cell_overrides, load_study, plan, study_of, sub_studies
from scs_study.launch.status import plan_records

TABLES = {"table1": 8, "table2": 8, "table3": 10, "table4": 10, "table5": 10, "table6": 10, "table7": 10, "table8": 12}


@pytest.mark.parametrize(("name", "count"), TABLES.items())
def test_a_table_study_has_exactly_the_cells_of_the_papers_table(name: str, count: int) -> None:
    cells = plan(load_study(name))
    ours = {(c.arch, c.layer.name, c.activation, c.pooling, c.norm, c.data.image_size) for c in cells}
    assert len(cells) == count
    assert ours == {row.key for row in paper_table(name)}
    assert {c.data.name for c in cells} == {"cifar10"}
    assert {c.train.epochs for c in cells} == {200 if name in ("table2", "table8") else 800}
    assert {(c.train.max_lr, c.train.batch_size, c.train.weight_decay) for c in cells} == {(0.01, 128, 0.0)}


@pytest.mark.parametrize("name", options("study"))
def test_every_shipped_study_plans_distinct_cells(name: str) -> None:
    study = load_study(name)
    others: dict[str, Any] = {}
    if study.base.get("data") == "folder":  # such images are the user's to name, and have settings of their own
        others = {"data": "digits", **{key: None for key in study.set if key in ("data.validation_share", "data.fit")}}
    names = [cell.run_name for cell in plan(study, others)]
    assert names
    assert len(names) == len(set(names))


def test_initial_and_follow_up_runs_of_rohrer100k_start_from_other_weights() -> None:
    """Section 5: the follow-up used "new randomized initial weights"."""
    seeds = [{cell.seed for cell in plan(load_study(name))} for name in ("table1", "table6")]
    assert not seeds[0] & seeds[1]


def study(**changes: Any) -> Study:
    return dataclasses.replace(load_study("quick"), **changes)


def test_exclusions_and_seeds() -> None:
    cells = plan(study(seeds=(0, 1, 2)))
    counts = Counter((c.layer.name, c.activation, c.pooling) for c in cells)
    assert ("conv", "none", "max") not in counts
    assert len(counts) == 10
    assert set(counts.values()) == {3}


def test_an_override_of_an_axis_restricts_it_and_any_other_holds_for_all_cells() -> None:
    cells = plan(load_study("quick"), {"layer": "scs", "train.epochs": 2, "seed": 5})
    assert len(cells) == 4
    assert {(c.layer.name, c.train.epochs, c.seed) for c in cells} == {("scs", 2, 5)}


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({"layer": "scs"}, {"table1", "table2", "table3", "table8", "cosine", "weight_norms", "p_values"}),
        ({"arch": "resnet18"}, {"table2", "table8", "resnet18_sdp"}),
        ({"layer": "sdp", "data": "cifar10_224"}, {"resnet18_sdp"}),
        ({"train.weight_decay": 5e-4}, {"p_values"}),
        ({"layer.p_init": [1.0, 1.0]}, {"table3", "resnet18_sdp"}),
    ],
)
def test_in_a_study_of_studies_an_axis_of_one_chooses_among_the_cells_of_all(
    overrides: dict[str, Any], names: set[str]
) -> None:
    whole = {cell.run_name for cell in plan(load_study("paper"))}
    subs = sub_studies(load_study("paper"), overrides)
    assert {cell.run_name for part in subs for cell in part.cells} < whole, "no cell is changed"
    assert names <= {part.study.name for part in subs}
    assert all(part.cells for part in subs)
    if len(names) < 5:
        assert {part.study.name for part in subs} - names <= {"table4", "table5", "table6", "table7"}


def test_any_other_override_holds_for_every_cell_of_a_study_of_studies() -> None:
    cells = plan(load_study("paper"), {"train.max_lr": 0.001, "layer": "conv", "norm": "none"})
    assert {cell.train.max_lr for cell in cells} == {0.001}
    assert {(cell.layer.name, cell.norm) for cell in cells} == {("conv", "none")}
    with pytest.raises(ValueError, match="layer=scss: not known"):
        plan(load_study("paper"), {"layer": "scss"})
    with pytest.raises(ValueError, match="arch=resnet20 and layer=sdp: no cell of study paper has that; there"):
        plan(load_study("paper"), {"layer": "sdp", "arch": "resnet20"})
    with pytest.raises(ValueError, match=r"data=digits: no cell .* there are data: cifar10, cifar10_224$"):
        plan(load_study("paper_short"), {"data": "digits"})


def test_a_setting_can_be_an_axis() -> None:
    cells = plan(study(axes={"layer": ["sdp"], "layer.p_init": [[1.0, 1.0], [1.0, 3.0]]}, exclude=()))
    assert [c.layer.p_init for c in cells if c.seed == 0] == [(1.0, 1.0), (1.0, 3.0)]


def test_a_setting_that_is_an_axis_is_chosen_by_its_value() -> None:
    some = load_study("weight_norms")
    assert {cell.layer.w_max for cell in plan(some, {"layer.w_max": None, "layer": "scs"})} == {None}
    with pytest.raises(ValueError, match=r"layer\.w_max=2\.0: not in study weight_norms, which has 1\.0, null"):
        plan(some, {"layer.w_max": 2.0})


def test_included_studies_share_their_cells() -> None:
    both = study(include=("table3", "quick"), axes={})
    assert len(plan(both)) == 10 + 20
    twice = study(include=("quick",))
    assert len(plan(twice)) == 20


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"arch": "rohrer47k"}, "arch=rohrer47k: not in study quick, which has rohrer25k"),
        ({"arch": "rohrer4k"}, "did you mean rohrer47k"),
        ({"norm": "batchnorm"}, "not in study quick"),
        ({"seed": 1.5}, "must be a whole number"),
        ({"train.epochs": 0}, "must be at least 1"),
        ({"train.epoch": 2}, r"did you mean train\.epochs"),
        ({"layer.p": 2.0}, "no effect on layer=conv"),
        ({"seed": -1}, "at least 0"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(overrides: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        plan(load_study("quick"), overrides)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"exclude": ({"layer": "conv"}, {"layer": "scs"}, {"layer": "sdp"})}, "no cells are left"),
        ({"axes": {"layer": ["conv"], "nrom": ["none"]}, "exclude": ()}, "nrom: no such setting"),
        ({"include": ("tabel1",)}, "did you mean table1"),
    ],
)
def test_mistakes_in_a_study_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        plan(study(**changes))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("axes", 3, r"study\.axes=3: must be settings and their values"),
        ("axes", {"layer": "scs"}, r"study\.axes\.layer=scs: must be a list"),
        ("base", [1], r"study\.base=\[1\]: must be settings"),
        ("include", "quick", r"study\.include=quick: must be a list"),
        ("exclude", 3, r"study\.exclude=3: must be a list"),
        ("exclude", ["conv"], "conv: must be axes and their values"),
        ("exclude", [{"layer": "cnov"}], "did you mean conv"),
        ("paper", "table9", "choose from table1, table2"),
        ("seeds", "3", r"must be a number of seeds, or a list such as \[0,1,2\]"),
        ("seeds", 0, "must be at least 1"),
        ("analyses", "saliency", r"study\.analyses=saliency: must be a list"),
        ("analyses", ["no_such"], r"study\.analyses=no_such: not known"),
    ],
)
def test_a_study_of_wrong_kinds_of_values_is_refused(key: str, value: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        study_of("quick", OmegaConf.create({**load_option("study", "quick"), key: value}))


def test_only_cell_settings_are_taken_from_the_command_line() -> None:
    found = cell_overrides(["study=quick", "study.seeds=[0]", "train.epochs=2", "data.root=/x", "seed=1", "plan=true",
                            "engine.device=cpu", "runs=/x", "layer=scs"])  # fmt: skip
    assert found == {"train.epochs": 2, "seed": 1, "layer": "scs"}
    with pytest.raises(ValueError, match="takes one value"):
        cell_overrides(["layer=conv,scs"])


def test_plan_records_are_json_with_the_promised_keys(tmp_path: Path) -> None:
    records = json.loads(json.dumps(plan_records(plan(load_study("table3")), tmp_path)))
    assert len(records) == 10
    assert list(records[0]) == [
        "architecture", "layer", "activation", "pooling", "norm", "data", "image_size", "epochs", "seed",
        "run", "state",
    ]  # fmt: skip
    assert {record["state"] for record in records} == {"missing"}
