"""A sweep's workers as an array on a real SLURM: one is warned, all trials are done, and cancel takes only its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scs_study.launch.code_snapshot import live_jobs
from scs_study.training import run_dir as run_folder
from tests.cluster.jobs import EVERY, logs, start_now
from tests.gates import Gate, listening_python, until
from tests.support import commands

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]
NAME = "short"


def command(script: str, runs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = commands.run(script, f"runs={runs}", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_a_sweep_on_the_cluster_goes_on_after_a_warning_and_is_found_by_its_name(
    slurm: Path, tmp_path: Path, shut: Callable[..., Gate]
) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    small = ["launch=slurm", "launch.gpus=0", "launch.cpus=1", "launch.memory_gb=1", "launch.minutes=30"]
    sweep = ["sweep=quick", f"name={NAME}", "arch=rohrer68k", "train.epochs=2", "train.batch_size=256"]
    sweep += ["sweep.trials=3", "sweep.warmup=1", "sweep.pruner=none", f"results={results}"]
    small += [f"launch.python={listening_python(tmp_path)}"]
    gate = shut(f"{runs}/*/{run_folder.HISTORY}")
    sent = command("sweep.py", runs, *sweep, *small, "launch.at_once=1", "workers=2", "--detach")
    jobs = live_jobs(runs, f"sweep_{NAME}")
    assert len(jobs) == 2
    assert all(job.number in sent.stdout for job in jobs)
    assert live_jobs(runs, "quick") == []

    (warned, *_) = [job.number for job in jobs]
    until(lambda: len(gate.held()) == 2, every=EVERY)
    subprocess.run(["scancel", "--signal=USR2", warned], check=True, timeout=60)
    until(lambda: "writing a checkpoint" in logs(runs, warned), every=EVERY)
    gate.open()
    until(lambda: "queued again (restart 1)" in logs(runs, warned), every=EVERY)
    start_now(warned)

    waited = command("status.py", runs, f"sweep_name={NAME}", "--wait")
    trials = waited.stdout.strip().splitlines()[-1]
    assert trials.startswith(f"{NAME}: trials: 3 complete"), waited.stdout
    assert trials.endswith("jobs: none")
    assert "has no jobs in SLURM" in command("cancel.py", runs, f"sweep_name={NAME}").stdout
