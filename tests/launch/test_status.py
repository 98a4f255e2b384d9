"""What `make status` says of every run, and that ten thousand of them are not read again and again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scs_study.experiments.compose import PROJECT
from scs_study.launch.status import plan_records, status_text
from scs_study.runs import lock as lease
from scs_study.runs.state import INDEX, RunState, clock, run_state, run_states
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from tests.opened import counted
from tests.support.work import cell

CELL = cell()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / CELL.run_name).mkdir()
    return tmp_path / CELL.run_name


def test_a_run_without_a_folder_is_missing(tmp_path: Path) -> None:
    assert run_state(tmp_path, CELL).state == "missing"
    assert "missing" in status_text([CELL], tmp_path)
    assert "1 cells: 1 missing" in status_text([CELL], tmp_path / "not there")


@pytest.mark.parametrize("state", ["done", "diverged"])
def test_a_final_run_says_so_and_needs_no_owner(folder: Path, state: str) -> None:
    run_folder.write_status(folder, state, 3, 3, "words" if state == "diverged" else "")
    assert run_state(folder.parent, CELL).final
    assert f"{CELL.run_name}  {state}" in status_text([CELL], folder.parent)


def test_a_running_run_says_where_and_when_it_gave_its_last_sign_of_life(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 1e6)
    held = lease.acquire(folder)
    run_folder.write_status(folder, "running", 1, 3)
    state = run_state(folder.parent, CELL, held.path.stat().st_mtime + 20)
    assert (state.state, state.epoch) == ("running", 1)
    assert state.age == pytest.approx(20)
    text = status_text([CELL], folder.parent)
    assert "running, epoch 1/3" in text
    assert f"process {os.getpid()}, last sign of life" in text
    held.release()


def test_a_run_that_has_been_leased_and_has_not_written_yet_is_running(folder: Path) -> None:
    held = lease.acquire(folder)
    assert run_state(folder.parent, CELL).state == "running"
    held.release()


def test_a_run_whose_process_is_gone_is_interrupted_whatever_its_last_words(folder: Path) -> None:
    run_folder.write_status(folder, "running", 2, 3)
    state = run_state(folder.parent, CELL)
    assert (state.state, state.epoch, state.message) == ("interrupted", 2, "its process is gone")


def test_an_owner_on_another_machine_is_judged_by_the_clock_of_the_file_system(folder: Path) -> None:
    run_folder.write_status(folder, "running", 2, 3)
    elsewhere = folder / "lease-1.json"
    elsewhere.write_text(json.dumps({"host": "node7", "pid": 1, "started": "1", "machine": "elsewhere"}))
    beat = elsewhere.stat().st_mtime
    assert run_state(folder.parent, CELL, beat + lease.STALE - 1).state == "running"
    assert run_state(folder.parent, CELL, beat + lease.STALE).state == "interrupted"
    before, now, after = time.time(), clock(folder.parent), time.time()
    assert before - 0.1 <= now <= after, "a file's time is the kernel's last tick"
    assert not list(folder.parent.glob(".*")), "asking for the time leaves nothing behind"


def test_a_failed_run_says_why(folder: Path) -> None:
    run_folder.write_status(folder, "failed", 1, 3, "RuntimeError: no luck")
    assert "failed, epoch 1/3: RuntimeError: no luck" in status_text([CELL], folder.parent)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": "done"}', b"\xff\xfe", b'{"state":1,"epoch":"x"}'])
def test_a_damaged_status_says_so(folder: Path, content: bytes) -> None:
    (folder / run_folder.STATUS).write_bytes(content)
    state = run_state(folder.parent, CELL)
    assert state.state == "damaged"
    assert "status.json is damaged" in state.message
    assert "1 damaged" in status_text([CELL], folder.parent)


def test_the_plan_as_records_is_plain_json(folder: Path) -> None:
    run_folder.write_status(folder, "done", 3, 3)
    (line,) = json.loads(json.dumps(plan_records([CELL], folder.parent)))
    assert (line["run"], line["state"], line["seed"]) == (CELL.run_name, "done", 0)


def test_ten_thousand_runs_are_read_once_each_and_not_again_while_they_do_not_change(tmp_path: Path) -> None:
    """Ten thousand files are read in a moment, and their folders are neither listed nor written to."""
    cells = [replace(CELL, seed=seed) for seed in range(10_000)]
    status = json.dumps({"state": "done", "epoch": 1, "epochs": 1, "message": "", "updated": 0.0})
    long_ago = time.time() - 100
    for each in cells:
        folder = tmp_path / each.run_name
        folder.mkdir()
        (folder / run_folder.STATUS).write_text(status)
        os.utime(folder, (long_ago, long_ago))
    opened, listed = counted(lambda: status_text(cells, tmp_path), tmp_path)
    assert status_text(cells, tmp_path).endswith("10000 cells: 10000 done")
    assert 10_000 <= opened < 10_020
    assert listed < 10
    assert (tmp_path / INDEX).exists()
    for each in cells:  # unreadable now, so a listing that read them would notice
        (tmp_path / each.run_name / run_folder.STATUS).write_text("")
    changed = cells[0].run_name
    run_folder.write_status(tmp_path / changed, "running", 0, 1)
    states: dict[str, RunState] = {}
    opened, listed = counted(lambda: states.update(run_states(tmp_path, cells)), tmp_path)
    assert states[changed].state == "interrupted"
    assert [state.state for state in states.values()].count("done") == 9_999
    assert opened < 20
    assert listed < 10


@pytest.mark.parametrize("script", ["status", "cancel"])
def test_looking_at_a_study_does_not_wait_for_torch(script: str, tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", f"scripts/{script}.py", "study=quick", f"runs={tmp_path}"]
    answer = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    imported = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "hydra" in imported
    assert imported.isdisjoint({"torch", "numpy", "pandas", "matplotlib", "optuna"})


def test_a_damaged_index_is_no_more_than_a_slower_listing(tmp_path: Path) -> None:
    (tmp_path / CELL.run_name).mkdir()
    run_folder.write_status(tmp_path / CELL.run_name, "done", 3, 3)
    for content in (b"", b"[]", b'{"x": 1}', b'{"x": [1]}'):
        files.write_bytes(tmp_path / INDEX, content)
        assert run_states(tmp_path, [CELL])[CELL.run_name].state == "done"
