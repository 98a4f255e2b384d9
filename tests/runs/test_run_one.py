"""A cell is computed once, recorded whatever happens, and comes out the same whatever happened to its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scs_study.config.schema import CellConfig
from scs_study.launch.inline import inline
from scs_study.runs import run_one as runner
from scs_study.runs import state as store
from scs_study.runs.lock import acquire
from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.run_one import run_cell
from scs_study.runs.state import run_state
from scs_study.system import files
from scs_study.training import checkpoint
from scs_study.training import run_dir as run_folder
from scs_study.training.stopping import Interrupted, StopRequest
from tests.gates import Gate, until
from tests.support.work import SCS, cell, content, run_context, start

Shut = Callable[..., Gate]


def compute(runs: Path, which: CellConfig, log: Path | None = None) -> None:
    """A process that computes one cell, as the entry points do; what it says is in `log`."""
    if log is not None:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 1)
    try:
        inline([which], run_context(runs))
    except Interrupted:
        sys.exit(130)


# What is about to be written when a process is killed, one process after the other, and how many lines it has by then.
WRITES: list[tuple[str, int | None]] = [
    ("lease-1.json", None),
    (run_folder.CONFIG, None),
    (run_folder.STATUS, None),
    (run_folder.STEPS, 0),
    (run_folder.HISTORY, 0),
    (f".{checkpoint.NAME}.*.tmp", None),
    (checkpoint.NAME, None),
    (run_folder.LAYERS, 1),
    (checkpoint.NAME, None),
    (run_folder.HISTORY, 2),
    (checkpoint.NAME, None),
    (run_folder.WEIGHTS, None),
    (run_folder.RESULT, None),
]


def test_a_run_killed_again_and_again_ends_like_one_that_was_left_alone(
    tmp_path: Path, undisturbed: dict[str, Any], shut: Shut
) -> None:
    """SIGKILL before its first word, between the records of an epoch, in the middle of a checkpoint ...

    All that a killed process leaves is on the disk, so a kill in a step is one before the next write.
    """
    folder = tmp_path / SCS.run_name
    for name, lines in WRITES:
        gate = shut(folder / name, lines=lines, kill=True)
        process = start(compute, tmp_path, SCS)
        process.join()
        gate.open()
        assert process.exitcode == -signal.SIGKILL, f"it never came to {name}"
    process = start(compute, tmp_path, SCS)
    process.join()
    assert process.exitcode == 0
    assert content(folder) == undisturbed
    assert not list(folder.glob(".*.tmp")), "what killed writers left behind is taken away"
    assert len(files.read_lines(folder / PROVENANCE)) == len(WRITES) - 1, "two never got so far as to say they began"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_a_signal_ends_with_a_checkpoint_inside_the_epoch_from_which_the_run_continues(
    tmp_path: Path, undisturbed: dict[str, Any], number: signal.Signals, shut: Shut
) -> None:
    second = shut(tmp_path / SCS.run_name / run_folder.HISTORY, lines=1)
    process = start(compute, tmp_path, SCS, tmp_path / "log")
    os.kill(second.reached(), number)
    until(lambda: f"{number.name}: writing a checkpoint" in (tmp_path / "log").read_text())
    second.open()
    process.join()
    assert process.exitcode == 130
    state = run_state(tmp_path, SCS)
    assert state.state == "interrupted"
    assert state.message == "stopped in epoch 3"
    compute(tmp_path, SCS)
    assert content(tmp_path / SCS.run_name) == undisturbed


def test_whoever_waited_for_slurms_warning_gets_it_after_the_checkpoint(tmp_path: Path) -> None:
    """submitit, below Hydra's launcher, requeues the job when it gets SIGUSR2."""
    told: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: told.append(number))
    try:
        with StopRequest().listening() as stop:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert stop()
            assert told == []
        assert told == [signal.SIGUSR2]
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_of_two_processes_that_want_a_run_one_works_and_both_end_with_the_result(
    tmp_path: Path, undisturbed: dict[str, Any], shut: Shut
) -> None:
    gate = shut(tmp_path / SCS.run_name / run_folder.HISTORY)
    processes = [start(compute, tmp_path, SCS, tmp_path / f"log-{k}") for k in range(2)]
    owner = gate.reached()
    until(lambda: "left for later" in "".join(path.read_text() for path in tmp_path.glob("log-?")))
    assert gate.held() == [owner], "the other one does not work on it meanwhile"
    gate.open()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert content(tmp_path / SCS.run_name) == undisturbed
    assert len(files.read_lines(tmp_path / SCS.run_name / PROVENANCE)) == 1


def test_a_process_that_waits_for_another_takes_over_when_that_one_is_killed(
    tmp_path: Path, undisturbed: dict[str, Any], shut: Shut
) -> None:
    gate = shut(tmp_path / SCS.run_name / run_folder.HISTORY, lines=1)
    first = start(compute, tmp_path, SCS)
    assert gate.reached() == first.pid
    second = start(compute, tmp_path, SCS, tmp_path / "log")
    until(lambda: (tmp_path / "log").exists() and "left for later" in (tmp_path / "log").read_text())
    first.kill()
    first.join()
    assert first.exitcode == -signal.SIGKILL
    assert gate.reached() == second.pid, "it goes on where the first one was"
    gate.open()
    second.join()
    assert second.exitcode == 0
    assert content(tmp_path / SCS.run_name) == undisturbed
    assert len(files.read_lines(tmp_path / SCS.run_name / PROVENANCE)) == 2


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    where = run_context(tmp_path)
    assert run_cell(SCS, where).state == "done"
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / SCS.run_name).iterdir()}
    assert run_cell(SCS, where).state == "done"
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / SCS.run_name).iterdir()} == before


class Explodes:
    """Images that cannot be had, each time for another reason."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("CUDA out of memory.\nmore"), "RuntimeError: CUDA out of memory."),
        (ValueError("data.root=/x: there is no such folder"), "data.root=/x: there is no such folder"),
        (SystemExit(7), "SystemExit: 7"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_a_failing_cell_leaves_its_traceback_and_the_others_alone(
    tmp_path: Path, error: BaseException, sentence: str
) -> None:
    where = run_context(tmp_path)
    images = where._images.pop("digits")
    where._images["digits"] = Explodes(error)  # type: ignore[assignment]
    bad = cell("conv", epochs=1)
    outcome = run_cell(bad, where)
    assert (outcome.state, outcome.message) == ("failed", sentence)
    folder = tmp_path / bad.run_name
    assert type(error).__name__ in (folder / run_folder.ERROR).read_text()
    assert run_state(tmp_path, bad).message == sentence
    where.retry_failed = False
    assert run_cell(bad, where).state == "failed"
    where._images["digits"], where.retry_failed = images, True
    assert run_cell(bad, where).state == "done"
    assert not (folder / run_folder.ERROR).exists()


def test_a_cell_of_which_the_folder_cannot_be_made_fails_alone(tmp_path: Path) -> None:
    good, bad = cell("conv", epochs=1), cell("conv", seed=1, epochs=1)
    (tmp_path / bad.run_name).write_text("a file in its place")
    outcomes = inline([bad, good], run_context(tmp_path))
    assert outcomes[good.run_name].state == "done"
    assert outcomes[bad.run_name].state == "failed"
    assert "exists" in outcomes[bad.run_name].message.lower() or "directory" in outcomes[bad.run_name].message


def test_a_run_killed_between_its_result_and_its_last_status_is_not_computed_again(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    run_cell(SCS, run_context(tmp_path))
    folder = tmp_path / SCS.run_name
    run_folder.write_status(folder, "running", 3, 3)
    assert run_cell(SCS, run_context(tmp_path)).state == "done"
    assert len(files.read_lines(folder / PROVENANCE)) == 1
    assert content(folder) == undisturbed


def test_a_process_that_lost_its_run_while_suspended_writes_nothing_more(tmp_path: Path) -> None:
    folder = tmp_path / SCS.run_name
    lines: list[Any] = []
    then: dict[str, bytes] = {}

    def now() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def taken_over(line: dict[str, Any]) -> None:
        lines.append(line)
        if len(lines) == 1:
            (folder / "lease-2.json").write_text("{}")  # what another process leaves when it takes the run over
            then.update(now())

    with pytest.raises(runner.LockLost):
        run_cell(SCS, run_context(tmp_path), report=taken_over)
    assert len(lines) == 1
    assert now() == then
    assert checkpoint.NAME in then, "an epoch is told once it is kept"


def test_a_full_disk_fails_the_cell_in_one_sentence_and_space_lets_it_finish(
    tiny_disk: Path, undisturbed: dict[str, Any]
) -> None:
    """At every distance from full: the first file that no longer fits is another one each time."""
    seen = set()
    for free in range(0, 1600, 90):
        ballast = tiny_disk / "ballast"
        ballast.write_bytes(b"")
        space = os.statvfs(tiny_disk).f_bavail * os.statvfs(tiny_disk).f_frsize
        ballast.write_bytes(b"x" * max(0, space - free * 1024))
        outcome = run_cell(SCS, run_context(tiny_disk))
        seen.add(outcome.state)
        if outcome.state == "done":
            break
        assert "No space left on device" in outcome.message, free
        assert run_state(tiny_disk, SCS).state != "running"
    assert seen == {"failed", "done"}
    assert content(tiny_disk / SCS.run_name) == undisturbed


def test_a_folder_one_may_only_read_fails_in_one_sentence_and_finished_runs_stay_readable(tiny_disk: Path) -> None:
    done, wanted = cell("conv", epochs=1), cell("conv", seed=1, epochs=1)
    where = run_context(tiny_disk)
    assert run_cell(done, where).state == "done"
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    outcomes = inline([wanted, done], where)
    assert outcomes[done.run_name].state == "done"
    assert outcomes[wanted.run_name].state == "failed"
    assert "Read-only file system" in outcomes[wanted.run_name].message
    assert {s.state for s in store.run_states(tiny_disk, [done, wanted]).values()} == {"done", "missing"}


def test_a_run_whose_owner_still_lives_is_busy(tmp_path: Path) -> None:
    (tmp_path / SCS.run_name).mkdir()
    held = acquire(tmp_path / SCS.run_name)
    outcome = run_cell(SCS, run_context(tmp_path))
    assert outcome.state == "busy"
    assert f"process {os.getpid()}" in outcome.message
    held.release()
