"""SLURM's warning, by hand and before a time limit: it reaches one task of an array, and never comes too early."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scs_study.launch.code_snapshot import cancel, live_jobs
from scs_study.launch.slurm import submit
from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.state import run_state
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from tests.cluster.jobs import (
    ENGINE,
    EVERY,
    cell,
    control,
    logs,
    processes_of,
    run_context,
    settings,
    start_now,
    state_of,
    stopping_at_gates,
)
from tests.gates import Gate, until
from tests.support.work import ENDLESS

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_a_warning_while_a_task_is_starting_is_not_lost_and_queues_no_other_task_again(
    slurm: Path, tmp_path: Path, shut: Callable[..., Gate]
) -> None:
    """The hard case: the task whose own job number is also the number of the whole array."""
    cells = [cell(seed, epochs=1) for seed in (0, 1)]
    gate = shut("import scs_study")
    _, numbers = submit("t", cells, run_context(tmp_path), stopping_at_gates(tmp_path, cells_per_task=1), ENGINE)
    array = numbers[0].split("_")[0]
    until(lambda: len(gate.held()) == 2, every=EVERY)
    (warned,) = [number for number in numbers if state_of(number, "%A") == array]
    (other,) = [number for number in numbers if number != warned]
    (starting,) = set(gate.held()) & set(processes_of(slurm, warned, "submitit"))
    subprocess.run(["scancel", "--signal=USR2", warned], check=True, timeout=60)
    until(lambda: waits_for(starting, signal.SIGUSR2), every=EVERY)
    gate.open()
    until(lambda: "queued again (restart 1)" in logs(tmp_path, warned), every=EVERY)
    assert not (tmp_path / cells[int(warned[-1])].run_name / PROVENANCE).exists(), "it had not begun to compute"
    start_now(warned)
    until(lambda: not live_jobs(tmp_path), every=0.5)
    assert [run_state(tmp_path, each).state for each in cells] == ["done", "done"], logs(tmp_path)
    assert [len(files.read_lines(tmp_path / each.run_name / PROVENANCE)) for each in cells] == [1, 1]
    assert "queued again" not in logs(tmp_path, other)
    assert "writing a checkpoint" not in logs(tmp_path, other)


def waits_for(pid: int, number: signal.Signals) -> bool:
    """Whether the signal has come to the process and is held back."""
    words = Path(f"/proc/{pid}/status").read_text().split()
    masks = [int(words[words.index(name) + 1], 16) for name in ("SigPnd:", "ShdPnd:")]
    return any(mask >> (number - 1) & 1 for mask in masks)


def test_a_task_is_queued_again_before_its_time_is_up_and_goes_on_where_it_was(slurm: Path, tmp_path: Path) -> None:
    endless = cell(0, epochs=ENDLESS)
    limit = settings(partition="spare", minutes=1, warning_seconds=40)
    _, (number,) = submit("t", [endless], run_context(tmp_path), limit, ENGINE)
    until(lambda: "queued again (restart 1)" in logs(tmp_path), every=EVERY)
    until(lambda: run_state(tmp_path, endless).state != "running", every=EVERY)
    history = tmp_path / endless.run_name / run_folder.HISTORY
    before = history.read_bytes() if history.exists() else b""
    until(lambda: state_of(number) == "PENDING", every=EVERY)
    control("update", f"jobid={number}", "timelimit=30")
    start_now(number)
    until(lambda: history.exists() and len(history.read_bytes()) > len(before), every=EVERY)
    assert history.read_bytes().startswith(before)
    assert cancel(tmp_path, "t") == [number]
    until(lambda: not live_jobs(tmp_path), every=EVERY)
    assert run_state(tmp_path, endless).state == "interrupted"
