"""The commands are Hydra's as its users know it: --cfg prints what runs, of a study and of choices from outside."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from scs_study.command import run_command
from scs_study.config import groups as config_groups
from scs_study.config.groups import groups, options, top_level
from scs_study.experiments.compose import CONF, PROJECT, compose_cell
from scs_study.experiments.grid import load_study
from scs_study.launch.slurm import exports
from scs_study.selection import chosen_study

Printed = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command is a process; here many share one."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(config_groups.OWN, "")
    yield
    GlobalHydra.instance().clear()


def command(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, config: str = "replicate"
) -> tuple[list[DictConfig], int]:
    """The configs that a command's jobs get, and its exit status."""
    found: list[DictConfig] = []
    monkeypatch.setattr(sys, "argv", [f"{config}.py", *arguments])
    with pytest.raises(SystemExit) as exit_:
        run_command(lambda values: found.append(values) or 0, config)  # type: ignore[func-returns-value]
    return found, int(exit_.value.code or 0)


def test_what_a_study_sets_is_in_the_config_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    (values,), _ = command(monkeypatch, "study=table3")
    assert (values.data.name, values.data.flip, values.train.epochs) == ("cifar10", True, 800)
    (values,), _ = command(monkeypatch, "study=p_grid")
    assert (values.arch.name, values.layer.p_init, values.train.epochs) == ("rohrer68k", None, 20)


def test_the_command_line_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    (values,), _ = command(monkeypatch, "study=table3", "data=mnist", "train.epochs=3")
    assert (values.data.name, values.data.flip, values.train.epochs) == ("mnist", False, 3)


def test_each_job_of_a_multirun_has_the_settings_of_its_study(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jobs, _ = command(monkeypatch, "-m", "study=quick,cosine,table8", f"runs={tmp_path}")
    told = [(job.data.name, job.data.image_size, job.arch.name, job.train.epochs) for job in jobs]
    assert told == [
        ("digits", 32, "rohrer25k", 6),
        ("cifar10", 32, "rohrer100k", 800),
        ("cifar10", 224, "resnet18", 200),
    ]


@pytest.mark.parametrize("study", options("study"))
def test_what_is_composed_for_a_study_is_in_its_cells(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def task(values: DictConfig) -> int:
        chosen, cells = chosen_study(values)
        if not chosen.include:
            same = {"data.name", "train.optimizer", "data.image_size"} - chosen.axes.keys()
            for key in same if "data" not in chosen.axes and "train" not in chosen.axes else ():
                part, _, name = key.partition(".")
                assert all(getattr(getattr(cell, part), name) == values[part][name] for cell in cells)
        seen.append(True)
        return 0

    chosen, others = load_study(study), []
    if chosen.base.get("data") == "folder":  # such images are the user's to name, and have settings of their own
        others = ["data=digits", *(f"{key}=null" for key in chosen.set if key in ("data.validation_share", "data.fit"))]
    monkeypatch.setattr(sys, "argv", ["replicate.py", f"study={study}", *others])
    with pytest.raises(SystemExit) as exit_:
        run_command(task, "replicate")
    assert exit_.value.code == 0
    assert seen == [True]


def test_cfg_prints_it_and_refuses_what_would_not_run(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    assert command(monkeypatch, "study=table3", "--cfg", "job") == ([], 0)
    assert "epochs: 800" in capsys.readouterr().out
    for wrong, sentence in {
        "train.epochs=0": "train.epochs=0: must be at least 1",
        "engine.device=warp": "engine.device=warp",
        "layer.p_init=[3,1]": "layer.p_init=[3.0, 1.0]: must be [low, high]",
        "saliency.images=1": "saliency.images=1: must be at least 2",
        "attack.steps=0": "attack.steps=0: must be at least 1",
        "launch.side_by_side=0": "launch.side_by_side=0: must be at least 1",
        "launch.per_gpu=4": "launch.per_gpu: it is launch.side_by_side now",
        "arch=resnet19": "arch=resnet19: not known (did you mean resnet18?)",
    }.items():
        assert command(monkeypatch, wrong, "--cfg", "job") == ([], 2)
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
        assert printed.err.startswith(f"error: {sentence}")


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_the_programs_own(flag: str, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    assert command(monkeypatch, flag) == ([], 0)
    text = capsys.readouterr().out
    for group in set(groups()) & top_level("replicate").keys():
        assert re.search(rf"^  {group}=\w+: .*{options(group)[0]}", text, flags=re.MULTILINE)
    assert "plan=false" in text


def test_nothing_is_taken_from_what_hydra_keeps_to_itself() -> None:
    modules = [*(PROJECT / "scs_study").rglob("*.py"), *(PROJECT / "scripts").glob("*.py")]
    assert [path for path in modules if "hydra._internal" in path.read_text()] == []


# Choices from outside


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own choices, used."""
    for file, text in {
        "layer/mine.yaml": "name: mine\n_target_: my_layers.Mine\noptions: {gain: 2}\n",
        "arch/mynet.yaml": "name: mynet\n_target_: my_nets.my_net\n",
        "study/nets.yaml": "axes: {arch: [mynet]}\n",
        "study/ours.yaml": "axes: {layer: [mine]}\nset: {layer.options.gain: 3, train.epochs: 2}\n",
    }.items():
        (tmp_path / "own" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / file).write_text(text)
    (tmp_path / "my_layers.py").write_text("from torch import nn\n\n\nclass Mine(nn.Conv2d):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "own"


def test_a_study_and_a_layer_from_outside_are_composed(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (values,), _ = command(monkeypatch, "--config-dir", str(own), "study=ours")
    assert (values.layer.name, values.layer.options, values.train.epochs) == ("mine", {"gain": 3}, 2)
    cell = compose_cell({"layer": "mine"}, {"layer.options.gain": 4}, 0)
    assert dict(cell.targets) == {"layer": "my_layers.Mine"}
    assert cell.identity()["layer"]["options"] == {"gain": 4}
    assert cell.code[0][0] == "layer"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_flag_may_stand_anywhere_between_overrides(own: Path, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["layer=mine", "train.epochs=3"]
    (values,), _ = command(monkeypatch, *words[:place], "--config-dir", str(own), *words[place:])
    assert (values.layer.name, values.train.epochs) == ("mine", 3)


def test_the_environment_may_name_the_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config_groups.OWN, str(own))
    (values,), _ = command(monkeypatch, "layer=mine")
    assert values.layer.options == {"gain": 2}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["layer=mein"], "error: layer=mein: not known (did you mean mine?); choose from batchelor, conv"),
        (
            ["layer=mine", "layer.options.gian=3"],
            "error: layer.options.gian: no such setting (did you mean layer.options.gain?)",
        ),
        (["study=our"], "error: study=our: not known (did you mean ours?)"),
        (["study=nets", "--cfg", "job"], "error: my_nets: there is no such module, or it has no source"),
    ],
)
def test_mistakes_know_them_too(
    arguments: list[str], sentence: str, own: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    assert command(monkeypatch, "--config-dir", str(own), *arguments, config="replicate") == ([], 2)
    assert capsys.readouterr().err.startswith(sentence)


def test_a_name_of_the_projects_own_is_taken(own: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    (own / "layer" / "scs.yaml").write_text("name: scs\n")
    assert command(monkeypatch, "--config-dir", str(own)) == ([], 2)
    assert "layer=scs is a choice of the project; give yours another name" in capsys.readouterr().err


def test_a_task_on_a_cluster_finds_the_same_modules(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exports(Path("/code")) == ["export PYTHONPATH=/code"]
    monkeypatch.setenv(config_groups.OWN, str(own))
    monkeypatch.setenv("PYTHONPATH", "/mine")
    monkeypatch.chdir(own.parent)
    assert exports(Path("/code")) == [
        f"export PYTHONPATH=/code:/mine:{own.parent}",
        f"export {config_groups.OWN}={own}",
    ]


def test_a_layer_needs_a_name_alone(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / "layer" / "bare.yaml").write_text("name: wang\n")
    monkeypatch.setenv(config_groups.OWN, str(own))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        values = compose("config", [f"hydra.searchpath=[file://{own}]", "layer=bare", "layer.skip_1x1=true"])
    assert values.layer.skip_1x1 is True
    assert compose_cell({"layer": "bare"}, {"layer.skip_1x1": True}, 0).layer.skip_1x1 is True
