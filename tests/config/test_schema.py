"""A cell's identity depends on what it computes and on nothing else, and wrong values are refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from scs_study.config.schema import CellConfig, cell_from_dict
from scs_study.experiments.compose import compose_cell

CELL = compose_cell({"train": "paper"}, {}, seed=0)


def changed(path: str, value: Any) -> dict[str, Any]:
    identity = CELL.identity()
    target = identity
    *sections, name = path.split(".")
    for section in sections:
        target = target[section]
    target[name] = value
    return identity


def test_the_identity_reads_back_as_the_same_cell() -> None:
    assert cell_from_dict(CELL.identity()) == CELL
    assert cell_from_dict(CELL.identity()).run_name == CELL.run_name


def test_the_name_is_pinned_because_a_change_of_it_orphans_every_run_on_every_disk() -> None:
    assert CELL.run_name == "rohrer25k-scs-none-maxabs-digits-800ep-s0-057ef8d3e34c"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 1),
        ("activation", "relu"),
        ("pooling", "max"),
        ("init", "uniform"),
        ("layer.p_init", [1.0, 2.0]),
        ("layer.w_max", None),
        ("layer.weight_scale", 1.5),
        ("data.flip", True),
        ("data.crop_padding", 2),
        ("train.epochs", 2),
        ("train.max_lr", 0.02),
        ("train.weight_decay", 1e-4),
        ("train.numerics", "bf16"),
    ],
)
def test_every_scientific_setting_changes_the_name(path: str, value: Any) -> None:
    assert cell_from_dict(changed(path, value)).run_name != CELL.run_name


@pytest.mark.parametrize(("path", "value"), [("train.weight_decay", 0), ("layer.w_max", 1), ("layer.p_init", [1, 3])])
def test_whole_numbers_and_their_floats_are_the_same_recipe(path: str, value: Any) -> None:
    assert cell_from_dict(changed(path, value)).run_name == CELL.run_name


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("activation", "rleu", r"activation=rleu: not known \(did you mean relu\?\); choose from none, relu"),
        ("layer.name", "sky/net", r"layer\.name=sky/net: must be a name"),
        ("layer.options", {"width": 3}, r"layer\.options=.*: scs has no options"),
        ("layer.options", [3], r"layer\.options=\[3\]: must be a group of settings"),
        ("layer.parameterisation", None, "choose from may2022, mar2022"),
        ("layer.p", 0, r"layer\.p=0\.0: must be above 0"),
        ("layer.p", 2.0, r"set layer\.p_init=null"),
        ("layer.p_init", [3.0, 1.0], r"must be \[low, high\]"),
        ("layer.p_init", [0.0, 1.0], r"at least 0\.1"),
        ("layer.p_init", 2.0, r"layer\.p_init=2\.0: must be \[low, high\]"),
        ("layer.skip_1x1", "maybe", r"layer\.skip_1x1=maybe: must be true or false"),
        ("data.crop_padding", 33, "at most 32"),
        ("layer.w_max", -1.0, "above 0"),
        ("data.image_size", 4, "at least 8"),
        ("data.flip", "yes", "true or false"),
        ("train.epochs", 0, r"train\.epochs=0: must be at least 1"),
        ("train.epochs", 2.5, "whole number"),
        ("train.epochs", True, "whole number"),
        ("train.max_lr", -0.1, "above 0"),
        ("train.max_lr", float("nan"), "must be a number"),
        ("train.label_smoothing", 1.0, r"at most 0\.999"),
        ("train.momentum", 0.9, "has no effect on train.optimizer=adam"),
        ("train.optimizer", "adan", "did you mean adam"),
        ("train.epoch", 3, r"train\.epoch: no such setting \(did you mean train\.epochs\?\)"),
        ("seed", -1, "at least 0"),
        ("seed", 2**63, r"seed=9223372036854775808: must be at least 0 and at most 9223372036854775807"),
        ("train.epochs", 10**40, r"train\.epochs=1000.*\.\.\.: must be at least 1 and at most 9223372036854775807"),
        ("train.batch_size", 2**64, "at most 9223372036854775807"),
        ("data.image_size", 2**64, "at most 9223372036854775807"),
        ("train.max_lr", 10**400, r"train\.max_lr=10+: must be a number"),
        ("arch", "../elsewhere", r"arch=\.\./elsewhere: must be a name"),
        ("arch", "", "must be a name"),
        ("arch", 3, "must be a name"),
        ("format", 99, "another version"),
        ("train", 3, "group of settings"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(path: str, value: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        cell_from_dict(changed(path, value))
    assert "\n" not in str(refused.value)


def test_a_missing_value_is_named() -> None:
    identity = CELL.identity()
    del identity["train"]["max_lr"]
    with pytest.raises(ValueError, match=r"train\.max_lr: not set"):
        cell_from_dict(identity)


@pytest.mark.parametrize(
    ("layer", "setting", "sentence"),
    [
        ("conv", ("layer.p", 2.0), "no exponent"),
        ("conv", ("layer.skip_1x1", True), "has no effect on layer=conv"),
        ("sdp", ("layer.w_max", 1.0), "only the may2022 layer"),
        ("sdp", ("layer.parameterisation", "may2022"), "has no parameterisations"),
        ("cosine", ("layer.p", 2.0), "plain cosine is p = 1"),
        ("scs_mar2022", ("layer.w_max", 1.0), "only the may2022 layer"),
    ],
)
def test_settings_without_effect_are_refused(layer: str, setting: tuple[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        compose_cell({"layer": layer}, dict([setting]), seed=0)


def test_a_name_of_any_length_fits_into_a_file_system_and_stays_another_cells_own() -> None:
    long = [cell_from_dict(changed("arch", "n" * 230 + end)) for end in "ab"]
    assert all(len(cell.run_name) < 220 for cell in long)
    assert len({cell.run_name for cell in long}) == len({cell.slug for cell in long}) == 2
    assert cell_from_dict(changed("seed", 2**63 - 1)).slug.endswith("s9223372036854775807")


def test_the_slug_names_what_a_reader_looks_for() -> None:
    cell = compose_cell(
        {"layer": "scs", "activation": "relu", "data": "cifar10"},
        {"layer.p": 1.5, "layer.p_init": None, "train.epochs": 3},
        seed=4,
    )
    assert isinstance(cell, CellConfig)
    assert cell.slug == "rohrer25k-scs_p1.5-relu-maxabs-cifar10-3ep-s4"
