"""Runs are listed, stopped, resumed, cleared and deleted: those that were listed, and none that somebody works on."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from scs_study.launch.inline import inline
from scs_study.launch.pool import pool
from scs_study.launch.pool_size import PoolSize
from scs_study.runs import stopped
from scs_study.runs.lock import Busy, acquire
from scs_study.runs.manage import ACTIONS, Listed, delete, listed, redo, resume, stop
from scs_study.runs.run_one import run_cell
from scs_study.runs.state import run_state
from scs_study.runs.stopped import stop_run
from scs_study.training import run_dir
from tests.gates import until
from tests.support import commands
from tests.support.undisturbed import undisturbed as undisturbed
from tests.support.work import ENDLESS, SCS, cell, content, run_context


def one(runs: Path, name: str) -> Listed:
    (run,) = listed(runs, [name], ())
    return run


def test_a_stopped_run_stays_stopped_and_loses_nothing(
    tmp_path: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopped, "_EVERY", 0.0)
    folder = tmp_path / SCS.run_name
    outcome = run_cell(SCS, run_context(tmp_path), report=lambda line: stop_run(folder))
    assert (outcome.state, run_state(tmp_path, SCS).state) == ("stopped", "stopped")
    assert run_state(tmp_path, SCS).epoch < SCS.train.epochs
    before = (folder / run_dir.HISTORY).read_bytes()
    assert inline([SCS], run_context(tmp_path))[SCS.run_name].state == "stopped"
    assert (folder / run_dir.HISTORY).read_bytes() == before
    assert "goes on" in resume(one(tmp_path, SCS.run_name))
    assert inline([SCS], run_context(tmp_path))[SCS.run_name].state == "done"
    assert content(folder) == undisturbed


def test_one_run_of_a_pool_is_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    endless, other = cell(epochs=ENDLESS), cell(seed=1, epochs=1)

    def stopper() -> None:
        until(lambda: (tmp_path / endless.run_name / run_dir.HISTORY).exists())
        assert "stays stopped" in stop(one(tmp_path, endless.run_name))

    thread = threading.Thread(target=stopper)
    thread.start()
    outcomes = pool([endless, other], run_context(tmp_path), PoolSize(2, 1, (torch.device("cpu"),)))
    thread.join()
    assert {name: outcome.state for name, outcome in outcomes.items()} == {
        endless.run_name: "stopped",
        other.run_name: "done",
    }
    assert (tmp_path / endless.run_name / "checkpoint.safetensors").exists()


def test_what_is_over_is_not_stopped_and_what_is_not_stopped_not_resumed(tmp_path: Path) -> None:
    small = cell(epochs=1)
    run_cell(small, run_context(tmp_path))
    done = one(tmp_path, small.run_name)
    assert "over" in stop(done)
    assert "done" in resume(done)
    assert not (done.folder / stopped.STOP).exists()


def test_a_run_is_cleared_or_deleted_unless_somebody_works_on_it(tmp_path: Path) -> None:
    context = run_context(tmp_path)
    small = cell(epochs=1)
    run_cell(small, context)
    folder = tmp_path / small.run_name
    lock = acquire(folder)
    for action in (redo, delete):
        with pytest.raises(Busy):
            action(one(tmp_path, small.run_name))
    assert (folder / run_dir.RESULT).exists()
    lock.release()
    redo(one(tmp_path, small.run_name))
    assert run_state(tmp_path, small).state == "missing"
    assert (folder / run_dir.CONFIG).exists()
    assert run_cell(small, context).state == "done"
    delete(one(tmp_path, small.run_name))
    assert not [path for path in tmp_path.iterdir() if small.run_name in path.name]


def command(runs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.run("runs.py", f"runs={runs}", *arguments)


def test_the_command_does_what_it_lists_and_only_that(tmp_path: Path) -> None:
    context, done, failed = run_context(tmp_path), cell(epochs=1), cell("scs", epochs=1)
    run_cell(done, context)
    run_cell(failed, context)
    run_dir.write_status(tmp_path / failed.run_name, "failed", 0, 1, "out of memory")
    for name in (run_dir.RESULT, run_dir.WEIGHTS):
        (tmp_path / failed.run_name / name).unlink()
    told = command(tmp_path, "match=*", "state=failed", "delete=true")
    assert told.returncode == 0, told.stderr
    assert done.run_name not in told.stdout
    assert f"{failed.run_name} is deleted" in told.stdout
    assert {path.name for path in tmp_path.glob("rohrer*")} == {done.run_name}


@pytest.mark.parametrize(
    "arguments", [["match=none-such"], ["match=*", "state=don"], ["match=*", "redo=true", "stop=true"]]
)
def test_a_wrong_command_does_nothing(arguments: list[str], tmp_path: Path) -> None:
    run_cell(cell(epochs=1), run_context(tmp_path))
    told = command(tmp_path, *arguments)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("error: ")
    assert told.stderr.count("\n") == 1
    assert set(ACTIONS) == {"stop", "resume", "redo", "delete"}
    assert run_state(tmp_path, cell(epochs=1)).state == "done"
