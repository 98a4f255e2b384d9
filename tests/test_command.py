"""The commands as a user types them, in processes of their own: one line for a mistake, a table at the end."""

from __future__ import annotations

import dataclasses
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from scs_study.command import run_command
from scs_study.experiments.compose import CONF, PROJECT, checkpoint_scheme
from scs_study.experiments.grid import load_study
from scs_study.launch.slurm_task import settings_of
from scs_study.runs import context
from scs_study.runs.context import pick_device, run_context
from scs_study.selection import results_folder, results_name
from scs_study.system.tensors import save_tensors
from tests.support import commands

HERE = ["train.epochs=1", "seed=0", "engine.device=cpu", "engine.threads=1"]
QUICK = ["layer=conv", "activation=relu", "pooling=max", *HERE]


def command(script: str, *arguments: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::DeprecationWarning:scs_study"}
    return commands.run(script, *arguments, cwd=cwd, env=environment)


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a wrong command ends in, without the cost of a process."""
    monkeypatch.setattr(sys, "argv", ["replicate.py", *arguments])
    with pytest.raises(SystemExit) as exit_:
        run_command(_never, "replicate")
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def _never(config: object) -> int:
    raise AssertionError("a wrong command must not get this far")


def test_a_gpu_that_torch_cannot_use_is_told_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a driver that is too old: days on a CPU in place of hours are nobody's wish."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(context, "NVIDIA", tmp_path / "nvidia0")
    assert pick_device("auto") == torch.device("cpu")
    (tmp_path / "nvidia0").touch()
    with pytest.raises(
        ValueError, match=r"engine\.device=auto: this machine has a GPU .*; engine\.device=cpu|nvidia-smi"
    ):
        pick_device("auto")
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden on purpose
    assert pick_device("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["study=qick"], "error: study=qick: not known (did you mean quick?); choose from "),
        (["study=quick", "train.epcohs=3"], "error: train.epcohs: no such setting (did you mean train.epochs?)"),
        (["layer=scss"], "error: layer=scss: not known (did you mean scs?)"),
        (["study=quick", "layer=[conv"], "error: 'layer=[conv' cannot be read: write key=value"),
        (["train"], "error: 'train' cannot be read: write key=value"),
        (["layer=scs,conv"], "error: layer=scs,conv: one value is wanted here; for a grid add -m"),
        (["layer=glob(s*)"], "error: layer=glob(s*): one value is wanted here"),
        (["~train"], "error: ~train: every setting is needed"),
        # Hydra's own refusals, after ours
        (["train.epochs.x=3"], "error: Could not override 'train.epochs.x'"),
        (["study.axes=[a]"], "error: Error merging override study.axes=[a]"),
        (["hydra/launcher=fast"], "error: In 'hydra/config': Could not find 'hydra/launcher/fast'"),
        (["--resolve"], "error: The --resolve flag"),
        (["launch.detach=true"], "error: launch.detach: the chosen launch has no such setting, another one has"),
    ],
)
def test_a_misspelt_command_gets_one_line(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(monkeypatch, capsys, *arguments).startswith(sentence)


REFUSALS = """
import contextlib, io, pathlib, runpy, sys
for script in sorted(pathlib.Path("scripts").glob("*.py")):
    sys.argv, said = [str(script), "nonsense"], io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        slow = sorted({"torch", "numpy", "pandas", "scipy", "matplotlib", "optuna", "captum"} & sys.modules.keys())
        print(script.stem, end.code, "nonsense" in said.getvalue(), *slow)
"""


def test_no_command_waits_for_torch_to_refuse_a_wrong_word() -> None:
    """One process for all: what a command had imported would still be there in those after it."""
    done = subprocess.run([sys.executable, "-c", REFUSALS], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout.splitlines() == [f"{each.stem} 2 True" for each in sorted((PROJECT / "scripts").glob("*.py"))]


def test_a_machine_without_a_gpu_may_submit_to_nodes_that_have_one() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("replicate", ["launch=slurm", "engine.device=cuda"])
        wrong = compose("replicate", ["launch=slurm", "engine.device=gpu"])
        excluded = compose("replicate", ["launch=slurm", "engine.device=cpu"])
    assert run_context(config).settings.device == pick_device("auto")
    assert run_context(excluded).settings.device.type == "cpu"
    with pytest.raises(ValueError, match="choose auto, cpu or cuda"):
        run_context(wrong)
    with pytest.raises(ValueError, match=r"engine\.device=cuda: a task has no GPU with launch\.gpus=0"):
        settings_of(run_context(config), {**config.launch, "gpus": 0}, config.engine)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("engine.threads=0", "engine.threads=0: must be at least 1"),
        ("engine.threads=1.5", "engine.threads=1.5: must be a whole number"),
        ("engine.checkpoint_every=0", "engine.checkpoint_every=0: must be at least 1"),
        ("engine.device=gpu", "choose auto, cpu or cuda"),
        ("engine.device=meta", "engine.device=meta: not known; choose from cpu, cuda"),
        ("engine.device=null", "engine.device=None: not a device"),
        ("engine.name=egar", "did you mean eager"),
        ("retry_failed=maybe", "retry_failed=maybe: must be true or false"),
        ("runs=null", "must be the path of a folder"),
    ],
)
def test_how_and_where_are_checked_like_what(argument: str, sentence: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("replicate", [argument])
    with pytest.raises(ValueError, match=re.escape(sentence)):
        run_context(config)


def test_results_that_could_not_be_written_are_noticed_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = command("replicate.py", *QUICK, f"runs={tmp_path}/runs", f"results={tmp_path}/file/results")
    assert done.returncode == 2
    assert done.stderr == f"error: results={tmp_path}/file/results: {tmp_path}/file is not a folder\n"
    assert not (tmp_path / "runs").exists()


def test_a_study_with_a_network_that_cannot_be_built_does_not_start(tmp_path: Path) -> None:
    answer = command("replicate.py", f"runs={tmp_path / 'runs'}", "data.image_size=224", "plan=true")
    assert answer.returncode == 2
    assert "rohrer25k takes images of 32 pixels only" in answer.stderr


def test_a_file_of_weights_is_named_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it lies makes no other study, and is nobody's business."""
    save_tensors(tmp_path / "file.safetensors", {"w": torch.ones(1)})
    monkeypatch.setattr(
        "scs_study.selection.task_overrides", lambda: [f"init.checkpoint={tmp_path / 'file.safetensors'}"]
    )
    study, scheme = load_study("quick"), checkpoint_scheme(tmp_path / "file.safetensors")
    assert results_name(study) == f"quick-init.checkpoint={scheme}"
    assert results_name(dataclasses.replace(study, set={"init.checkpoint": scheme})) == "quick"
    monkeypatch.setattr("scs_study.selection.task_overrides", lambda: ["layer.w_max=null", "study.seeds=[1]"])
    assert results_name(study) == "quick-layer.w_max=null-study.seeds=_1_"


def test_of_a_setting_that_is_given_twice_the_last_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    study = dataclasses.replace(load_study("quick"), set={"train.epochs": 5})

    def named(*arguments: str) -> str:
        monkeypatch.setattr("scs_study.selection.task_overrides", lambda: list(arguments))
        return results_name(study)

    assert named("train.epochs=1", "train.epochs=2") == named("train.epochs=2") == "quick-train.epochs=2"
    assert named("train.epochs=2", "train.epochs=1", "seed=0") == "quick-seed=0-train.epochs=1"
    assert named("train.epochs=2", "+train.epochs=5") == "quick", "the study's own value in the end"
    assert named("study.seeds=[1]", "study.seeds=[2]") == "quick-study.seeds=_2_"


@pytest.mark.parametrize(
    ("script", "arguments", "sentence"),
    [
        ("replicate.py", ["match=a*"], "error: match=a* has no effect here: this command takes a study"),
        ("status.py", ["match=a*"], "error: match=a* has no effect here: this command takes a study"),
        ("tables.py", ["match=a*"], "error: match=a*: no run in "),
        ("figures.py", ["match=/a*"], "error: match=/a*: must be a pattern of run names"),
        ("tables.py", ["match=a*", "seed=1"], "error: seed=1 has no effect beside match=a*"),
    ],
)
def test_a_pattern_of_runs_is_taken_or_refused_never_ignored(
    script: str,
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders = [f"runs={tmp_path}/runs", f"results={tmp_path}/results"]
    monkeypatch.setattr(sys, "argv", [script, *arguments, *folders])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(PROJECT / "scripts" / script), run_name="__main__")
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(sentence)
    assert error.count("\n") == 1


MANY = ["activation=relu", "pooling=max", "layer=conv", "norm=none", "data=digits", "seed=0", "train.epochs=1",
        "train.max_lr=0.0123456789", "train.weight_decay=0.000123456789", "train.label_smoothing=0.0123456789",
        "train.batch_size=128", "train.numerics=float32", "data.crop_padding=3", "data.flip=false", "init=uniform",
        "data.image_size=32", "layer.weight_scale=1.0000000001"]  # fmt: skip


def test_any_number_of_overrides_makes_a_folder_that_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, names = load_study("quick"), set()
    assert len("-".join(MANY)) > 313
    for last in ("1", "2"):
        monkeypatch.setattr("scs_study.selection.task_overrides", lambda last=last: [*MANY, f"train.max_lr={last}"])
        names.add(results_name(study))
        (tmp_path / results_name(study)).mkdir()
    assert len(names) == 2


@pytest.mark.parametrize("key", ["results", "runs", "data.root"])
@pytest.mark.parametrize("path", ["x" * 300, "x/" * 2000])
def test_a_folder_whose_name_is_too_long_is_one_line(tmp_path: Path, key: str, path: str) -> None:
    places = {"results": f"{tmp_path}/results", "runs": f"{tmp_path}/runs", key: f"{tmp_path}/{path}"}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("replicate", [f"{name}={place}" for name, place in places.items()])
    with pytest.raises(ValueError, match=r"255 is the most|too long for a path"):
        results_folder(config, "quick") if key == "results" else run_context(config)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        (f"seed={2**63}", f"seed={2**63}: must be at least 0 and at most {2**63 - 1}"),
        (f"study.seeds=[{10**40}]", f"must be at least 0 and at most {2**63 - 1}"),
        ("train.batch_size=1443", "train.batch_size=1443: the training set has 1442 images"),
    ],
)
def test_numbers_out_of_bounds_are_refused_before_anything_runs(tmp_path: Path, argument: str, sentence: str) -> None:
    done = command("replicate.py", "study=quick", argument, f"runs={tmp_path}/runs", f"results={tmp_path}/results")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("runs/*-*"))


def test_a_text_file_as_a_checkpoint_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no weights\n")
    done = command("train.py", "init=pretrained", f"init.checkpoint={tmp_path}/notes.txt", f"runs={tmp_path}/runs")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: init.checkpoint={tmp_path}/notes.txt: cannot be read as weights")
    assert done.stderr.count("\n") == 1


def test_a_plan_is_wanted_or_not(tmp_path: Path) -> None:
    done = command("replicate.py", "plan=maybe", f"runs={tmp_path}/runs")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: plan=maybe: not known; choose from false, true, json\n"


def test_hydras_own_options_still_work() -> None:
    shown = command("replicate.py", "--cfg", "job", "train.epochs=7")
    assert shown.returncode == 0, shown.stderr
    assert "epochs: 7" in shown.stdout


@pytest.mark.parametrize(
    ("target", "variable", "before"),
    [("headtohead", "ROOT", "data.root="), ("compare", "A", "a="), ("compare", "B", "b="), ("export", "RUN", "run=")],
)
def test_what_make_is_given_as_a_name_or_a_place_reaches_the_program_as_it_is(
    target: str, variable: str, before: str, tmp_path: Path
) -> None:
    """Spaces, quotes and all. A shell stands between; a program that prints its words is in Python's place."""
    shown = tmp_path / "shown.sh"
    shown.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    shown.chmod(0o755)
    value = 'it\'s "mine" & theirs, (1) `x`'
    words = ["make", "-s", target, f"{variable}={value}", f"PYTHON={shown}", "STAMP=Makefile"]
    made = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert f"{before}{value}" in made.stdout.splitlines()
