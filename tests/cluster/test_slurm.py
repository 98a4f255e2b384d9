"""A study through a real SLURM: whatever happens to its jobs, it ends as if nothing had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scs_study.experiments.compose import PROJECT, compose_cell
from scs_study.launch.code_snapshot import SUBMISSIONS, cancel, jobs_of, live_jobs
from scs_study.launch.inline import inline
from scs_study.launch.slurm import slurm as launch_slurm
from scs_study.launch.slurm import submit
from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.state import run_state
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from tests.cluster.jobs import ENGINE, cell, control, logs, run_context, settings, state_of
from tests.gates import until

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def somebody_elses_job(slurm: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = ["srun", "-p", "spare", "-c", "1", "--mem=100", "-J", "not-ours", "sleep", "3600"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        yield job
        job.terminate()


def test_queued_tasks_use_the_code_of_their_submission_and_outlive_whoever_submitted_them(
    slurm: Path, tmp_path: Path
) -> None:
    checkout, runs = tmp_path / "checkout", tmp_path / "runs"
    checkout.mkdir()
    for part in ("scs_study", "conf", "scripts", "results/paper"):
        shutil.copytree(PROJECT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "scripts/replicate.py", "study=quick", "layer=conv"]
    command += ["pooling=max", "train.epochs=1", "train.batch_size=256"]
    command += [f"runs={runs}", "launch=slurm", "launch.gpus=0", "launch.cpus=1", "launch.memory_gb=1"]
    command += ["launch.minutes=30", "launch.cells_per_task=1", "launch.at_once=1", 'launch.more=["--hold"]']
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    launcher = subprocess.Popen(
        command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    with launcher, launcher.stdout:  # type: ignore[union-attr]
        numbers: list[str] = []
        said = ""
        while not numbers:
            line = launcher.stdout.readline()  # type: ignore[union-attr]
            said += line
            assert line, said
            numbers = line.split()[2:] if line.startswith("SLURM jobs:") else []
        launcher.kill()
    assert len(numbers) == 2
    assert {state_of(number) for number in numbers} == {"PENDING"}

    (checkout / "scs_study/__init__.py").write_text("raise RuntimeError('the code was edited after submission')\n")
    choices = {"layer": "conv", "activation": "relu", "pooling": "max"}
    small = {"train.epochs": 1, "train.batch_size": 256}
    cells = [compose_cell(choices, small, seed) for seed in (0, 1)]
    assert [job.number for job in jobs_of(runs, {cells[1].run_name})] == [numbers[1]]
    for number in numbers:
        control("release", number)
    outcomes = launch_slurm("quick", cells, run_context(runs), settings(), ENGINE)  # finds them on their way
    assert outcomes is not None
    assert {outcome.state for outcome in outcomes.values()} == {"done"}, logs(runs)
    assert len(list((runs / SUBMISSIONS).iterdir())) == 1
    assert [len(files.read_lines(runs / each.run_name / PROVENANCE)) for each in cells] == [1, 1]


def test_a_refused_submission_is_one_sentence_and_leaves_nothing(slurm: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"SLURM refused the jobs: .*Invalid partition"):
        submit("t", [cell(0, 1)], run_context(tmp_path), settings(partition="nowhere"), ENGINE)
    assert not list((tmp_path / SUBMISSIONS).iterdir())


@pytest.mark.parametrize("name", ["back\\slash", "100%j"])
def test_a_folder_whose_name_is_another_one_to_slurm_is_refused(slurm: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="launch=slurm needs another folder"):
        submit("t", [cell(0, 1)], run_context(tmp_path / name), settings(), ENGINE)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_any_other_name_will_do(slurm: Path, tmp_path: Path) -> None:
    runs = tmp_path / 'R&D (Uni), it\'s #1 [x]=ü "q" $HOME' / "runs"
    outcomes = launch_slurm("quick", [cell(0, 1)], run_context(runs), settings(), ENGINE)
    assert outcomes is not None
    assert {outcome.state for outcome in outcomes.values()} == {"done"}, logs(runs)


def test_two_studies_of_the_same_second_have_folders_of_their_own_and_cancel_takes_nobody_elses_job(
    slurm: Path, tmp_path: Path, somebody_elses_job: subprocess.Popen[bytes]
) -> None:
    held = settings(more=["--hold"], cells_per_task=1)
    queue = ["squeue", "-h", "-n", "not-ours", "-o", "%T"]
    until(lambda: subprocess.run(queue, capture_output=True, timeout=60).stdout == b"RUNNING\n", every=0.5)
    sent = [submit("t", [cell(seed, 1)], run_context(tmp_path), held, ENGINE) for seed in (0, 1, 2)]
    assert len({submission.folder for submission, _ in sent if submission}) == 3
    assert sorted(cancel(tmp_path, "t")) == sorted(number for _, numbers in sent for number in numbers)
    until(lambda: not live_jobs(tmp_path), every=0.5)
    assert subprocess.run(queue, capture_output=True, timeout=60).stdout == b"RUNNING\n"
    assert somebody_elses_job.poll() is None


@pytest.mark.parametrize("launcher", ["submitit_slurm", "joblib"])
def test_hydras_own_launchers_fill_the_same_run_folders(slurm: Path, tmp_path: Path, launcher: str) -> None:
    command = [
        sys.executable,
        str(PROJECT / "scripts/train.py"),
        "-m",
        f"hydra/launcher={launcher}",
        f"runs={tmp_path}",
    ]
    command += [
        "arch=rohrer68k",
        "layer=conv",
        "activation=relu",
        "pooling=max",
        "train.epochs=1",
        "seed=0,1",
        "train.batch_size=256",
    ]
    if launcher == "submitit_slurm":
        command += ["hydra.launcher.mem_gb=1", "hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    states = [run_state(tmp_path, cell(seed, 1)).state for seed in (0, 1)]
    assert states == ["done", "done"]
    again = inline([cell(0, 1)], run_context(tmp_path))
    assert [outcome.state for outcome in again.values()] == ["done"]
    assert len(files.read_lines(tmp_path / cell(0, 1).run_name / PROVENANCE)) == 1
    assert (tmp_path / cell(0, 1).run_name / run_folder.RESULT).exists()
