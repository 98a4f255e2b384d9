"""One process owns a run; a dead one is followed by exactly one other; clocks of different machines never meet."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from scs_study.runs import lock as lease
from scs_study.runs.lock import Busy, LockLost, acquire, owner_of
from tests.gates import state_of, until
from tests.runs.observer import Clock
from tests.support.work import CONTEXT, start


def hold(folder: Path, go: Any, outcomes: Any) -> None:
    """Tries once, all at the same moment; a winner holds on until it is killed."""
    go.wait()
    try:
        acquire(folder)
    except Busy:
        outcomes.send("busy")
        return
    outcomes.send(os.getpid())
    time.sleep(600)


def contend(folder: Path, processes: int) -> tuple[list[Any], list[Any]]:
    """What became of `processes` that want the run at the same time, and the processes."""
    go = CONTEXT.Event()
    ours, theirs = CONTEXT.Pipe()
    members = [start(hold, folder, go, theirs) for _ in range(processes)]
    go.set()
    outcomes = [until(lambda: ours.poll(0.05) and [ours.recv()])[0] for _ in members]
    return outcomes, members


@pytest.fixture
def members() -> Any:
    started: list[Any] = []
    yield started
    for process in started:
        process.kill()
        process.join()


def test_of_many_processes_one_gets_a_free_run_and_one_follows_each_dead_owner(tmp_path: Path, members: Any) -> None:
    for round_ in range(1, 4):
        outcomes, started = contend(tmp_path, 8)
        members += started
        winners = [outcome for outcome in outcomes if outcome != "busy"]
        assert len(winners) == 1, f"round {round_}: {outcomes}"
        owner = owner_of(tmp_path)
        assert owner is not None
        assert owner["pid"] == winners[0]
        with pytest.raises(Busy, match=f"process {winners[0]} on"):
            acquire(tmp_path)
        os.kill(winners[0], signal.SIGKILL)  # at once it is nobody's: no waiting for a heartbeat on one machine
        until(lambda: owner_of(tmp_path) is None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lease-1.json", "lease-2.json", "lease-3.json"]


def test_a_lease_that_was_given_back_is_free_and_its_number_is_not_used_again(tmp_path: Path) -> None:
    first = acquire(tmp_path)
    first.check()
    first.release()
    assert owner_of(tmp_path) is None
    second = acquire(tmp_path)
    assert (first.number, second.number) == (1, 2)
    with pytest.raises(LockLost, match="taken this run over"):
        first.check()
    first.release()  # late, and no longer of any effect
    assert owner_of(tmp_path) is not None
    second.release()


def test_the_number_a_dead_owner_is_followed_by_is_given_out_once(tmp_path: Path) -> None:
    """Even if one observer is suspended between its look at the dead owner and its attempt."""
    acquire(tmp_path).release()
    acquire(tmp_path).release()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(FileExistsError):  # what such an observer does next: create the number after the one it saw
        os.open(tmp_path / "lease-2.json", os.O_CREAT | os.O_EXCL)
    assert sorted(tmp_path.iterdir()) == before


def suspended(folder: Path, told: Any, beats: bool) -> None:
    """Takes the run and steps on until it has lost it. Its clock stands still while it does not beat."""
    lease.HEARTBEAT = 0.02 if beats else 1e6
    time_ = folder / "time"
    lease._awake = (lambda: 0.0) if beats else lambda: float(time_.read_text())
    held = acquire(folder)
    told.send("held")
    while True:
        try:
            held.check_if_silent()
        except LockLost as lost:
            told.send(str(lost))
            return
        with (folder / "steps").open("a") as steps:
            steps.write(".")


@pytest.mark.parametrize("beats", [False, True], ids=["by its silence", "by its next heartbeat"])
def test_a_process_that_was_suspended_is_followed_and_notices(
    tmp_path: Path, clock: Clock, members: Any, beats: bool
) -> None:
    """By its own clock it was silent for long, and then it does not even one more step."""
    ours, theirs = CONTEXT.Pipe()
    (tmp_path / "time").write_text("0.0")
    folder = tmp_path
    members.append(start(suspended, folder, theirs, beats))
    assert until(lambda: ours.poll(0.05) and ours.recv()) == "held"
    steps = folder / "steps"
    until(steps.exists)
    pid = members[0].pid
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state_of(pid) == "T")
    (folder / "time").write_text(f"{lease.STALE / 2 + 1}")
    done, heartbeats = steps.stat().st_size, lease.Heartbeats()
    with pytest.raises(Busy):
        acquire(folder, heartbeats)
    clock.silence(folder, heartbeats, lease.STALE - 1)
    clock.now += 1
    taken = acquire(folder, heartbeats)
    os.kill(pid, signal.SIGCONT)
    assert "taken this run over" in until(lambda: ours.poll(0.05) and ours.recv())
    assert beats or steps.stat().st_size <= done + 1, "one that it was in the middle of"
    taken.check()
    taken.release()


def test_an_unreadable_lease_is_respected_until_it_has_been_silent_long_enough(tmp_path: Path, clock: Clock) -> None:
    """Its writer died between creating and writing it, or is about to write."""
    for content in (b"", b'{"host": "no', b"[1]"):
        number = len(list(tmp_path.iterdir())) + 1
        (tmp_path / f"lease-{number}.json").write_bytes(content)
        heartbeats = lease.Heartbeats()
        with pytest.raises(Busy):
            acquire(tmp_path, heartbeats)
        clock.silence(tmp_path, heartbeats, lease.STALE - 1)
        clock.now += 1
        acquire(tmp_path, heartbeats).release()


ELSEWHERE = {"host": "node7", "pid": 1, "started": "1", "machine": "elsewhere"}


def test_where_nobody_could_look_nobody_was_silent(tmp_path: Path, clock: Clock) -> None:
    """A file server that hangs for minutes stops the heartbeats of all, and the looks of all."""
    (tmp_path / "lease-1.json").write_text(json.dumps(ELSEWHERE))
    heartbeats = lease.Heartbeats()
    with pytest.raises(Busy):
        acquire(tmp_path, heartbeats)
    for _ in range(3):
        clock.now += 100 * lease.STALE
        with pytest.raises(Busy):
            acquire(tmp_path, heartbeats)
    clock.silence(tmp_path, heartbeats, lease.STALE - 3 * lease.HEARTBEAT - 1)
    clock.now += 1
    acquire(tmp_path, heartbeats).release()


def test_who_looks_again_and_again_judges_another_machines_owner_by_its_silence(tmp_path: Path, clock: Clock) -> None:
    """Its clock may be a day ahead, or behind."""
    path, heartbeats = tmp_path / "lease-1.json", lease.Heartbeats()
    path.write_text(json.dumps(ELSEWHERE))
    for beat in range(round(2 * lease.STALE)):
        os.utime(path, (1e6 + beat, 1e6 + beat))
        clock.now += 1
        assert owner_of(tmp_path, heartbeats=heartbeats) is not None
    assert owner_of(tmp_path) is None, "at first sight, and by the clock, it has been dead for years"
    os.utime(path, (4e9, 4e9))
    for _ in range(round(lease.STALE)):
        assert owner_of(tmp_path, heartbeats=heartbeats) is not None
        clock.now += 1
    assert owner_of(tmp_path, heartbeats=heartbeats) is None
    assert owner_of(tmp_path) is not None


def test_whoever_comes_second_is_told_so_whatever_the_file_system_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that create a file at the same time sshfs tells one that it may not."""
    first = acquire(tmp_path)
    monkeypatch.setattr(lease, "_highest", lambda folder: 0)  # what it saw before the first one came

    def refuses(*arguments: Any) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "open", refuses)
    with pytest.raises(Busy):
        acquire(tmp_path)
    monkeypatch.undo()
    first.release()
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuses)
        with pytest.raises(PermissionError):
            acquire(tmp_path)


def test_a_lease_of_an_earlier_version_that_was_given_back_is_free(tmp_path: Path) -> None:
    (tmp_path / "lease-1.json").write_text(json.dumps(ELSEWHERE))
    os.utime(tmp_path / "lease-1.json", (0, 0))
    assert owner_of(tmp_path) is None
    assert acquire(tmp_path).number == 2


def test_an_owner_that_does_not_see_its_follower_sees_the_sign_on_its_own_lease(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system may remember for half a minute that there was no such file as the follower's lease."""
    monkeypatch.setattr(lease, "HEARTBEAT", 1e6)
    first = acquire(tmp_path)
    first.path.write_text(json.dumps(ELSEWHERE))
    heartbeats = lease.Heartbeats()
    for _ in range(round(lease.STALE)):
        first.check()
        with pytest.raises(Busy):
            acquire(tmp_path, heartbeats)
        clock.now += 1
    acquire(tmp_path, heartbeats).path.rename(tmp_path / "unseen")
    with pytest.raises(LockLost):
        first.check()


def test_a_number_that_now_belongs_to_another_process_is_not_the_owner(tmp_path: Path) -> None:
    """Process numbers are used again: the start time tells."""
    held = acquire(tmp_path)
    text = held.path.read_text()
    assert owner_of(tmp_path) is not None
    ticks = str(lease._started(os.getpid()))
    held.path.write_text(text.replace(f'"{ticks}"', '"1"'))
    assert owner_of(tmp_path) is None
    acquire(tmp_path).release()
    held.release()


def test_a_run_that_nobody_has_had_has_no_owner(tmp_path: Path) -> None:
    assert owner_of(tmp_path) is None
    assert owner_of(tmp_path / "not there") is None
