"""A study through a real SLURM: whatever happens to its jobs, it ends as if nothing had."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from scs_study import files
from scs_study.config import CellConfig
from scs_study.study.compose import PROJECT, compose_cell, load_option
from scs_study.study.launch import inline
from scs_study.study.provenance import PROVENANCE
from scs_study.study.runner import Workplace
from scs_study.study.slurm import slurm as launch_slurm
from scs_study.study.slurm import submit
from scs_study.study.store import run_state
from scs_study.study.submission import LOGS, SUBMISSIONS, cancel, jobs_of, live_jobs
from scs_study.training import Settings, record
from tests.slurm import cluster
from tests.study.work import content, until

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(900)]
ENGINE = {"name": "eager", "device": "cpu", "threads": 1, "checkpoint_every": 1}


def cell(seed: int, epochs: int) -> CellConfig:
    choices = {"layer": "conv", "activation": "relu", "pooling": "max"}
    return compose_cell(choices, {"train.epochs": epochs, "train.batch_size": 256}, seed)


def place(runs: Path) -> Workplace:
    return Workplace(runs, Settings(torch.device("cpu")), None, runs / "data")


def settings(**changes: Any) -> dict[str, Any]:
    small = {"gpus": 0, "cpus": 1, "memory_gb": 1, "minutes": 30, "cells_per_task": 2, "at_once": 2}
    return {**load_option("launch", "slurm"), **small, **changes}


def logs(runs: Path) -> str:
    return "\n".join(path.read_text() for path in sorted((runs / SUBMISSIONS).glob(f"*/{LOGS}/*.out")))


def control(*arguments: str) -> None:
    subprocess.run(["scontrol", *arguments], check=True, capture_output=True, timeout=30)


def start_now(number: str) -> None:
    """None, once a job that was queued again runs; SLURM itself would let it wait for two minutes."""

    def running() -> bool:
        state = state_of(number)
        if state == "PENDING":
            time.sleep(2.5)  # in the same second as the requeue, this would end the job
            subprocess.run(["scontrol", "update", f"jobid={number}", "starttime=now"], capture_output=True, timeout=30)
        return state == "RUNNING"

    until(running, 60, 0.5)


def state_of(number: str) -> str:
    answer = subprocess.run(
        ["squeue", "-h", "-r", "-j", number, "-o", "%T"], capture_output=True, text=True, timeout=30
    )
    return answer.stdout.strip()


def processes_of(number: str) -> list[int]:
    """Every process of a job, SLURM's own ones included."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = f"SLURM_ARRAY_JOB_ID={number.split('_')[0]}".encode() in (folder / "environ").read_bytes()
            if ours or (b"slurmstepd" in (folder / "cmdline").read_bytes() and int(folder.name) != os.getpid()):
                found.append(int(folder.name))
    return found


@pytest.fixture
def somebody_elses_job(slurm: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = ["srun", "-p", "spare", "-c", "1", "--mem=100", "-J", "not-ours", "sleep", "200"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        yield job
        job.terminate()


def test_a_study_survives_everything_that_happens_to_jobs(slurm: Path, tmp_path: Path) -> None:
    runs, calm = tmp_path / "runs", tmp_path / "calm"
    cells = [cell(seed, epochs=40) for seed in (0, 1)]
    where = place(runs)
    first, second = (runs / each.run_name for each in cells)

    def epochs() -> int:
        return min(run_state(runs, each).epoch for each in cells)

    def wait_for_work() -> None:
        """None, once both runs are running and have got further."""
        goal = epochs() + 1
        until(lambda: epochs() >= goal and all(run_state(runs, c).state == "running" for c in cells), 300)

    def all_stopped() -> bool:
        return all(run_state(runs, each).state != "running" for each in cells)

    # Time limit: SLURM warns, the task writes checkpoints and queues itself again.
    started = time.monotonic()
    submission, (number,) = submit(
        "t", cells, where, settings(partition="spare", minutes=1, warning_seconds=45), ENGINE
    )
    assert submission is not None
    assert time.monotonic() - started < 30
    until(lambda: "queued again (restart 1)" in logs(runs), 100)
    until(all_stopped, 30)
    control("update", f"jobid={number}", "timelimit=30")
    start_now(number)

    # scontrol requeue: SIGTERM, then a new start.
    wait_for_work()
    assert submit("t", cells, where, settings(), ENGINE) == (None, [number]), "its cells are on their way"
    control("requeue", number)
    until(all_stopped, 30)
    start_now(number)

    # Preemption: an urgent job needs the node; the task gets SIGUSR2 and comes back afterwards.
    wait_for_work()
    before = logs(runs).count("queued again")
    urgent = ["srun", "-p", "urgent", "-c", "4", "--mem=100", "-J", "urgent", "sleep", "3"]
    subprocess.run(urgent, check=True, timeout=120, capture_output=True)
    assert logs(runs).count("queued again") == before + 1
    start_now(number)

    # A worker is killed: the task replaces it.
    wait_for_work()
    owner = run_state(runs, cells[0]).owner
    os.kill(int(owner.rsplit(" ", 1)[1]), signal.SIGKILL)
    until(lambda: "was killed by SIGKILL; another one continues" in logs(runs), 30)

    # The node's daemon and everything on it die, and the node comes back.
    wait_for_work()
    cluster.end(slurm, "slurmd", signal.SIGKILL)
    for pid in processes_of(number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cluster.start_node(slurm)

    # The study's own cancel: its job, and nobody else's.
    assert cancel(runs, "another") == []
    until(lambda: state_of(number) in ("RUNNING", "PENDING"), 60, 1)
    assert cancel(runs, "t") == [number]
    until(lambda: not live_jobs(runs) and all_stopped(), 300)

    # The launcher, repeated, sends what is left and waits for it.
    outcomes = launch_slurm("t", cells, where, settings(), ENGINE)
    assert outcomes is not None
    assert {outcome.state for outcome in outcomes.values()} == {"done"}, logs(runs)
    inline(cells, place(calm))
    for folder in (first, second):
        assert content(folder) == content(calm / folder.name)
        starts = files.read_lines(folder / PROVENANCE)
        assert len(starts) >= 4
        assert {start["commit"] for start in starts} == {starts[0]["commit"]}
        assert all(start["job"]["SLURM_JOB_ID"] for start in starts)


def test_queued_tasks_use_the_code_of_their_submission_and_outlive_whoever_submitted_them(
    slurm: Path, tmp_path: Path
) -> None:
    checkout, runs = tmp_path / "checkout", tmp_path / "runs"
    checkout.mkdir()
    for part in ("scs_study", "conf", "scripts", "results/paper"):
        shutil.copytree(PROJECT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "scripts/replicate.py", "study=quick", "layer=conv", "pooling=max", "train.epochs=1"]
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
    cells = [compose_cell(choices, {"train.epochs": 1}, seed) for seed in (0, 1)]
    assert [job.number for job in jobs_of(runs, {cells[1].run_name})] == [numbers[1]]
    for number in numbers:
        control("release", number)
    outcomes = launch_slurm("quick", cells, place(runs), settings(), ENGINE)  # finds them on their way
    assert outcomes is not None
    assert {outcome.state for outcome in outcomes.values()} == {"done"}, logs(runs)
    assert len(list((runs / SUBMISSIONS).iterdir())) == 1
    assert [len(files.read_lines(runs / each.run_name / PROVENANCE)) for each in cells] == [1, 1]


def test_a_refused_submission_is_one_sentence_and_leaves_nothing(slurm: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"SLURM refused the jobs: .*Invalid partition"):
        submit("t", [cell(0, 1)], place(tmp_path), settings(partition="nowhere"), ENGINE)
    assert not list((tmp_path / SUBMISSIONS).iterdir())


def test_two_studies_of_the_same_second_have_folders_of_their_own_and_cancel_takes_nobody_elses_job(
    slurm: Path, tmp_path: Path, somebody_elses_job: subprocess.Popen[bytes]
) -> None:
    held = settings(more=["--hold"], cells_per_task=1)
    queue = ["squeue", "-h", "-n", "not-ours", "-o", "%T"]
    until(lambda: subprocess.run(queue, capture_output=True, timeout=30).stdout == b"RUNNING\n", 60, 0.5)
    sent = [submit("t", [cell(seed, 1)], place(tmp_path), held, ENGINE) for seed in (0, 1, 2)]
    assert len({submission.folder for submission, _ in sent if submission}) == 3
    assert sorted(cancel(tmp_path, "t")) == sorted(number for _, numbers in sent for number in numbers)


@pytest.mark.parametrize("launcher", ["submitit_slurm", "joblib"])
def test_hydras_own_launchers_fill_the_same_run_folders(slurm: Path, tmp_path: Path, launcher: str) -> None:
    command = [
        sys.executable,
        str(PROJECT / "scripts/train.py"),
        "-m",
        f"hydra/launcher={launcher}",
        f"runs={tmp_path}",
    ]
    command += ["layer=conv", "activation=relu", "pooling=max", "train.epochs=1", "seed=0,1", "train.batch_size=256"]
    if launcher == "submitit_slurm":
        command += ["hydra.launcher.mem_gb=1", "hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    states = [run_state(tmp_path, cell(seed, 1)).state for seed in (0, 1)]
    assert states == ["done", "done"]
    again = inline([cell(0, 1)], place(tmp_path))
    assert [outcome.state for outcome in again.values()] == ["done"]
    assert len(files.read_lines(tmp_path / cell(0, 1).run_name / PROVENANCE)) == 1
    assert (tmp_path / cell(0, 1).run_name / record.RESULT).exists()
