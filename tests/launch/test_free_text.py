"""A path, a pattern or an address is what was typed, whatever signs are in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from scs_study.config.free_text import FREE_TEXT, quoted
from scs_study.experiments.compose import cell_of, parse_overrides
from scs_study.runs.context import run_context
from scs_study.system.places import CONF, PROJECT, below_project, user_path
from scs_study.system.tensors import save_tensors
from tests.gates import PATIENCE

ODD = [
    "~/x", "/home/me/Dropbox (Uni)/runs", "/Übung/größe", "/R&D", "/a=b", "/a#b", "/a[1]", "/it's", '/12" disk', "/a,b",
    "/日本", "/{a}", "/a;b|c", "/<x>", "/a!", "/100%", "/a\\", "/a\\'b", "/back\\slash", "/a b", "/a\nb", " /a", "/$x",
    "/`x`", "/a:b", "/a@b", "*", "true", "1e3", "007", "glob(x)", "choice(1,2)", "'a' and 'b'", "[1", "/\udce4",
    "../x", "/-", "--x",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("key", FREE_TEXT)
def test_free_text_arrives_as_it_was_typed(key: str, text: str) -> None:
    for sign in ("", "+", "++"):
        (override,) = parse_overrides([quoted(f"{sign}{key}={text}", multirun=False)])
        assert not override.is_sweep_override()
        assert override.key_or_group == key
        assert str(override.value()) == text


@pytest.mark.parametrize("text", [text for text in ODD if text != "~/x"])
def test_folders_and_files_of_such_names_are_those_that_are_meant(text: str, tmp_path: Path) -> None:
    folder = f"{tmp_path}/{text.lstrip('/')}"
    save_tensors(Path(folder) / "weights.safetensors", {"w": torch.ones(1)})
    arguments = [f"runs={folder}", f"results={folder}", f"data.root={folder}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("replicate", [quoted(argument, multirun=False) for argument in arguments])
    place = run_context(config)
    assert (place.runs, place.data_root) == (Path(folder), Path(folder))
    assert below_project(config.results) == Path(folder)
    checkpoint = quoted(f"init.checkpoint={folder}/weights.safetensors", multirun=False)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("replicate", ["init=pretrained", checkpoint])
    assert cell_of(config).init.startswith("checkpoint-")


@pytest.mark.parametrize(
    "argument",
    ["runs=/plain/path", "runs=", "data.root=null", "results=${oc.env:HOME}/x", "runs='/a b'", 'runs="/a (b)"',
     "train.epochs=2", "layer=[conv", "study.title=R&D", "name=2024", "--cfg", "hydra.run.dir=x", "match=rohrer25k-*"],
)  # fmt: skip
def test_what_hydra_reads_as_it_is_meant_is_left_alone(argument: str) -> None:
    assert quoted(argument, multirun=False) == argument


def test_a_variable_may_stand_before_an_odd_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch/it's (1)")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("replicate", [quoted("runs=${oc.env:SCRATCH}/R&D", multirun=False)])
    assert config.runs == "/scratch/it's (1)/R&D"


def test_a_multirun_sweeps_over_files_unless_one_has_that_name(tmp_path: Path) -> None:
    both = f"init.checkpoint={tmp_path}/a.pt,{tmp_path}/b.pt"
    assert quoted(both, multirun=True) == both
    (tmp_path / "a,b").mkdir()
    (override,) = parse_overrides([quoted(f"data.root={tmp_path}/a,b", multirun=True)])
    assert override.value() == f"{tmp_path}/a,b"


def test_a_tilde_is_a_home_or_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("runs", "~/x") == tmp_path / "x"
    assert user_path("runs", "x~") == Path("x~")
    with pytest.raises(ValueError, match=r"runs: ~nobody-of-this-name/x: .*; write \./~nobody-of-this-name"):
        user_path("runs", "~nobody-of-this-name/x")
    assert user_path("runs", "./~nobody-of-this-name") == Path("~nobody-of-this-name")


def test_a_command_works_in_such_folders_through_make_as_well(tmp_path: Path) -> None:
    """One cell, from `make` to its table, where the shell lets it through: in quotes of its own."""
    odd = tmp_path / 'R&D (Uni), #1 [x]=ü; "it" $HOME'
    (odd / "data").mkdir(parents=True)
    settings = "layer=conv activation=relu pooling=max train.epochs=1 train.batch_size=256 seed=0 engine.device=cpu"
    # A dollar is doubled for make.
    paths = " ".join(f"'{key}={odd}/{key}'".replace("$", "$$") for key in ("runs", "results"))
    where = f"'data.root={odd}/data'".replace("$", "$$")
    done = subprocess.run(
        ["make", "replicate", f"PYTHON={sys.executable}", "STAMP=", f"ARGS={settings} {paths} {where}"],
        capture_output=True, text=True, cwd=PROJECT, timeout=PATIENCE, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in sorted(odd.iterdir())] == ["data", "results", "runs"]
    assert list((odd / "runs").glob("rohrer25k-*/result.json"))
    assert list((odd / "results").glob("*/tables/table3.md"))
