"""Cells composed here are the cells that Hydra composes, and what does not exist is refused with its alternatives."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from scs_study.config import groups as groups_module
from scs_study.experiments.compose import (
    CELL_GROUPS,
    CONF,
    cell_of,
    check_override,
    compose_cell,
    groups,
    options,
    override_values,
    parse_overrides,
)

SHIPPED = [(group, name) for group in CELL_GROUPS for name in options(group)]
NEEDS = {("data", "cifar10_224"): "resnet", ("norm", "batchnorm"): "resnet"}


@pytest.mark.parametrize(("group", "name"), SHIPPED)
def test_every_shipped_choice_composes_as_hydra_composes_it(
    group: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    choices = {group: name}
    if name == "folder":
        for place in ("cat", "dog"):
            (tmp_path / place).mkdir()
            Image.new("L", (9, 9)).save(tmp_path / place / "1.png")
        monkeypatch.setenv("SCS_DATA_DIR", str(tmp_path))
        groups_module._load.cache_clear()
        request.addfinalizer(groups_module._load.cache_clear)  # it knows this folder now
    if (group, name) in NEEDS:
        fitting = [arch for arch in options("arch") if arch.startswith(NEEDS[group, name])]
        if not fitting:
            pytest.skip(f"no architecture takes {group}={name} yet")
        choices["arch"] = fitting[0]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[*(f"{k}={v}" for k, v in choices.items()), "train.epochs=7", "seed=2"])
    monkeypatch.setattr("scs_study.experiments.compose.PROJECT", tmp_path)
    assert cell_of(config) == compose_cell(choices, {"train.epochs": 7}, seed=2)


@pytest.mark.parametrize("group", groups())
def test_all_choices_of_a_group_have_the_same_keys(group: str) -> None:
    """Hydra checks an override against the default choice, so a key that only some choices have would be refused."""
    from scs_study.experiments.compose import load_option

    keys = [set(load_option(group, name)) for name in options(group)]
    if group == "arch":  # widths are looked up in the network that is chosen, and refused where it has none to choose
        keys = [each - {"widths"} for each in keys]
    if group not in ("sweep", "attack", "saliency", "launch", "engine"):
        assert all(a == b for a, b in itertools.pairwise(keys))


def test_the_folder_of_the_data_is_no_part_of_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        here = compose("config", overrides=["data.root=/somewhere"])
        monkeypatch.setenv("SCS_DATA_DIR", "/elsewhere")
        there = compose("config")
        assert there.data.root == "/elsewhere"
    assert cell_of(here).run_name == cell_of(there).run_name


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("arch=rohrer68", r"arch=rohrer68: not known \(did you mean rohrer68k\?\); choose from"),
        ("layer=conv,scss", r"layer=scss: not known \(did you mean scs\?\)"),
        (
            "train.epoch=3",
            r"train\.epoch: no such setting \(did you mean train\.epochs\?\); there are train\.batch_size",
        ),
        ("archh=rohrer25k", r"archh: no such setting \(did you mean arch\?\)"),
        ("+train.foo=1", r"train\.foo: no such setting"),
        ("~layer", "nothing can be taken away"),
        ("study=tabel3", r"did you mean table3\?"),
    ],
)
def test_a_wrong_override_is_refused_in_one_line(override: str, sentence: str) -> None:
    (parsed,) = parse_overrides([override])
    with pytest.raises(ValueError, match=sentence) as refused:
        check_override(parsed, "replicate")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "override",
    ["arch=rohrer68k", "train.epochs=3", "data.root=/x", "seed=4", "study.seeds=[0,1]", "runs=/x", "plan=json",
     "hydra.verbose=true", "hydra/launcher=joblib", "engine.device=cpu", "++train.epochs=3"],
)  # fmt: skip
def test_a_right_override_passes(override: str) -> None:
    (parsed,) = parse_overrides([override])
    check_override(parsed, "replicate")


def test_what_hydra_cannot_read_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError) as refused:
        parse_overrides(["arch=[unclosed"])
    assert "\n" not in str(refused.value)


def test_sweeps_give_plain_values() -> None:
    (sweep,) = parse_overrides(["seed=0,1,2"])
    (choice,) = parse_overrides(["layer='conv'"])
    (listed,) = parse_overrides(["layer.p_init=[1.0,2.0]"])
    assert override_values(sweep) == [0, 1, 2]
    assert override_values(choice) == ["conv"]
    assert override_values(listed) == [[1.0, 2.0]]
