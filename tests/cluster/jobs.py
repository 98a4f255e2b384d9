"""What the tests on a real SLURM share: small cells, submissions, and the questions one asks a cluster."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from scs_study.config.schema import CellConfig
from scs_study.experiments.compose import load_option
from scs_study.launch.code_snapshot import LOGS, SUBMISSIONS
from scs_study.runs.context import RunContext
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from scs_study.training.run import Settings
from tests.gates import Gate, listening_python, shut, until
from tests.support import work

ENGINE = {**load_option("engine", "eager"), "device": "cpu", "threads": 1}
EVERY = 0.2
"""Seconds between two looks: whoever looks all the time takes the cores away from what he waits for."""


def cell(seed: int, epochs: int) -> CellConfig:
    return work.cell(seed=seed, epochs=epochs, batch=256)


def run_context(runs: Path) -> RunContext:
    return RunContext(runs, Settings(torch.device("cpu")), None, runs / "data")


def settings(**changes: Any) -> dict[str, Any]:
    small = {"gpus": 0, "cpus": 1, "memory_gb": 1, "minutes": 30, "cells_per_task": 2, "at_once": 2}
    return {**load_option("launch", "slurm"), **small, **changes}


def stopping_at_gates(folder: Path, first: str = "", **changes: Any) -> dict[str, Any]:
    """As `settings`, for tasks that stop at gates; the command with which they do is written into `folder`.

    first: what the shell does before.
    """
    return settings(python=str(listening_python(folder, first)), **changes)


def in_the_next_epoch(runs: Path, cells: Sequence[CellConfig]) -> list[Gate]:
    """A gate for each of the runs, on which nobody works now: after its next epoch and most of another."""
    lines = [len(files.read_lines(runs / each.run_name / run_folder.HISTORY)) for each in cells]
    return [shut(runs / each.run_name / run_folder.HISTORY, n + 1) for each, n in zip(cells, lines, strict=True)]


def logs(runs: Path, number: str = "*") -> str:
    """What the tasks have printed: all of them, or the one of that number."""
    return "\n".join(path.read_text() for path in sorted((runs / SUBMISSIONS).glob(f"*/{LOGS}/{number}_*.out")))


def control(*arguments: str) -> None:
    subprocess.run(["scontrol", *arguments], check=True, capture_output=True, timeout=60)


def state_of(number: str, form: str = "%T") -> str:
    answer = subprocess.run(
        ["squeue", "-h", "-r", "-j", number, "-o", form], capture_output=True, text=True, timeout=60
    )
    return answer.stdout.strip()


def start_now(number: str) -> None:
    """Wait until a job that was queued again runs; SLURM itself would let it wait for two minutes.

    A node refuses a job that was allowed to start in the very second in which it was ended there.
    """
    until(lambda: state_of(number) in ("PENDING", "RUNNING"), every=EVERY)
    second = int(time.time())
    until(lambda: int(time.time()) > second + 1)

    def running() -> bool:
        state = state_of(number)
        if state == "PENDING":
            subprocess.run(["scontrol", "update", f"jobid={number}", "starttime=now"], capture_output=True, timeout=60)
        return state == "RUNNING"

    until(running, every=0.5)


def processes_of(base: Path, number: str, command: str = "") -> list[int]:
    """A task's processes on the cluster in `base`: Python's with `command` in their line, or all and SLURM's own."""
    cluster = f"SLURM_CONF={base}/".encode()
    array, _, index = number.partition("_")
    # A task alone is no array.
    said = [f"SLURM_ARRAY_JOB_ID={array}", f"SLURM_ARRAY_TASK_ID={index}"] if index else [f"SLURM_JOB_ID={number}"]
    ours = {each.encode() for each in said}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (folder / "environ").read_bytes().split(b"\0")
            line = (folder / "cmdline").read_bytes()
            if not any(each.startswith(cluster) for each in variables) or int(folder.name) == os.getpid():
                continue
            python = "python" in os.readlink(folder / "exe")
            mine = ours <= set(variables)
            if (mine and python and command.encode() in line) if command else (mine or b"slurmstepd" in line):
                found.append(int(folder.name))
    return found
