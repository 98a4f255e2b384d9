"""Every analysis that a study may name is one file in conf/analysis and the object that it names."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from scs_study.analysis import registry
from scs_study.analysis.registry import Analysis, check_analyses, find_analysis
from scs_study.config import groups
from scs_study.config.groups import options
from scs_study.experiments.grid import load_study, sub_studies


@pytest.mark.parametrize("name", options(registry.GROUP))
def test_every_choice_names_an_analysis(name: str) -> None:
    assert isinstance(find_analysis(name), Analysis)


def test_a_study_names_analyses_that_are_there() -> None:
    known = set(options(registry.GROUP))
    assert known >= {"saliency", "robustness", "weight_norms", "p_values"}
    assert {name for study in options("study") for name in load_study(study).analyses} <= known


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of configs with an analysis group of its own."""
    (tmp_path / registry.GROUP).mkdir()
    monkeypatch.setattr(groups, "CONF", tmp_path)
    return tmp_path / registry.GROUP / "mine.yaml"


def test_one_file_and_one_object_are_all_it_takes(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Analysis(lambda subject: ())
    monkeypatch.setattr(sys.modules[__name__], "MINE", mine, raising=False)
    own.write_text(f"_target_: {__name__}.MINE\n")
    assert find_analysis("mine") is mine


@pytest.mark.parametrize("target", ["_target_: no.such.thing\n", "_target_: os.path\n", "other: 1\n"])
def test_a_file_that_names_none_is_refused_by_its_name(own: Path, target: str) -> None:
    own.write_text(target)
    with pytest.raises(ValueError, match=r"^analysis=mine\._target_=") as refused:
        find_analysis("mine")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("study", "name"), [("gan_mnist_short", "headtohead"), ("quick", "fidelity")])
def test_an_analysis_that_can_look_at_no_run_is_refused_before_they_start(study: str, name: str) -> None:
    with initialize_config_dir(str(groups.CONF), version_base=None):
        config = compose("replicate", [f"study={study}"])
    found = load_study(study)
    check_analyses(sub_studies(found), config)
    wrong = sub_studies(dataclasses.replace(found, analyses=(name,)))
    with pytest.raises(ValueError, match=f"analysis={name} looks at .*, and what is chosen has none"):
        check_analyses(wrong, config)
    other = "quick" if study == "gan_mnist_short" else "gan_mnist_short"
    mixed = sub_studies(dataclasses.replace(load_study(other), analyses=(name,)))
    check_analyses([*wrong, *mixed], config)  # a study that includes both


def test_the_grid_knows_the_names_without_torch() -> None:
    code = "import sys; from scs_study.experiments.grid import load_study; load_study('paper'); "
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)
