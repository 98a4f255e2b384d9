"""The session on a rented GPU: each of its parts works on the CPU, and a cut-off costs what was under way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scs_study.experiments.compose import PROJECT
from scs_study.launch.gpu_session import RECORDS, same_runs
from scs_study.runs.run_one import run_cell
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from tests.gates import Gate, until
from tests.support import commands
from tests.support.work import SCS, content, run_context

CELL = ["layer=conv", "activation=relu", "pooling=max", "seed=0", "train.epochs=2"]
SMALL = ["--study", "quick", "--seeds", "1", "--rounds", "1", "--archs", "--", "engine.device=cpu", *CELL]


def line(*arguments: str) -> list[str]:
    return [sys.executable, str(PROJECT / "scripts" / "gpu_session.py"), *arguments]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a session starts its parts with."""
    return commands.stand_in(tmp_path_factory.mktemp("bin"))


def session(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.run("gpu_session.py", *arguments, python=python)


@pytest.mark.skipif(torch.cuda.is_available() or shutil.which("nvidia-smi") is not None, reason="there is a GPU here")
@pytest.mark.parametrize("command", [["bash", "scripts/gpu_session.sh"], line()], ids=["sh", "py"])
def test_without_a_gpu_nothing_is_begun(command: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "session"
    done = subprocess.run([*command, "--folder", folder], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no GPU")
    assert (done.stderr.count("\n"), done.stdout) == (1, "")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--time", "25", "--", "engine.device=cpu"], "error: --time=25: must be a time above 0 with its units"),
        (["--study", "qick", "--", "engine.device=cpu"], "error: study=qick: not known (did you mean quick?)"),
        (["--study", "quick", "--", "engine.device=cpu", "train.epcohs=1"], "error: train.epcohs: no such setting"),
    ],
)
def test_what_its_campaign_would_refuse_is_refused_at_once(
    arguments: list[str], sentence: str, tmp_path: Path, python: Path
) -> None:
    done = session(python, "--folder", str(tmp_path / "session"), *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
    assert not (tmp_path / "session").exists()


def test_a_session_without_time_says_of_every_part_that_it_had_none(tmp_path: Path, python: Path) -> None:
    done = session(python, "--time", "1s", "--folder", str(tmp_path), *SMALL)
    assert done.returncode == 1
    ends = [record for record in files.read_lines(tmp_path / RECORDS) if "ended" in record]
    assert [record["part"] for record in ends][-1] == "campaign"
    assert not any(record["good"] for record in ends)
    assert ends[-1]["wrong"] == "no time was left for it"
    assert not (tmp_path / "runs").exists()


def ended(folder: Path) -> dict[str, dict[str, Any]]:
    return {record["part"]: record for record in files.read_lines(folder / RECORDS) if "ended" in record}


@pytest.mark.slow
def test_a_session_that_is_cut_off_in_its_campaign_goes_on_there(
    tmp_path: Path, python: Path, shut: Callable[..., Gate]
) -> None:
    """As when the machine is gone: nothing of it lives on."""
    folder = tmp_path / "session"
    gate = shut(f"{folder}/runs/*/{run_folder.HISTORY}", lines=1)
    arguments = ["--time", "100h", "--folder", str(folder), *SMALL]
    with (tmp_path / "log").open("w") as log:
        first = commands.Command("gpu_session.py", *arguments, stdout=log, stderr=log, python=python)
    until(lambda: gate.held() or first.poll() is not None)
    assert first.poll() is None, (tmp_path / "log").read_text()
    campaign = gate.reached()
    first.kill()
    first.wait()
    os.kill(campaign, signal.SIGKILL)
    gate.open()
    before = ended(folder)
    names = ["kernels", "eager", "graphed", "graphed again", "side by side", "one by one", "layouts float32"]
    assert list(before) == names
    assert all(record["good"] for record in before.values()), before
    assert before["graphed"]["equal to the bit"] == before["graphed again"]["equal to the bit"] == 1
    assert before["one by one"]["runs"] == before["one by one"]["equal to the bit"] == 4
    assert list((folder / "layouts_float32").glob("bench/steps_*.csv"))

    again = session(python, *arguments)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count(": good before") == len(names)
    assert ended(folder)["campaign"]["good"]
    assert list(folder.glob("results/*/tables/table3.csv"))
    (run,) = (folder / "runs").glob("rohrer25k-*")
    assert len(files.read_lines(run / "provenance.jsonl")) == 2
    calm = ["study=quick", *CELL, "engine.device=cpu", f"runs={tmp_path}/calm", f"results={tmp_path}/results"]
    assert commands.run("replicate.py", *calm).returncode == 0
    assert content(run) == content(tmp_path / "calm" / run.name)


def test_runs_are_told_apart_by_their_weights_and_their_losses(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    judge, roughly = same_runs(ours, theirs, exact=True), same_runs(ours, theirs, exact=False)
    assert judge()[0] == "it left no finished run"
    for runs in (ours, theirs):
        run_cell(SCS, run_context(runs))
    assert judge() == ("", {"runs": 1, "equal to the bit": 1, "losses apart": 0.0})
    weights = ours / SCS.run_name / run_folder.WEIGHTS
    weights.write_bytes(weights.read_bytes() + b"x")
    assert judge()[0] == f"other bits than in theirs: {SCS.run_name}"
    assert roughly()[0] == ""
    history = ours / SCS.run_name / run_folder.HISTORY
    lines = files.read_lines(history)
    history.unlink()
    for each in lines:
        files.append_line(history, {**each, "train_loss": 1.1 * each["train_loss"]})
    assert roughly()[0].endswith("apart from those in theirs")
