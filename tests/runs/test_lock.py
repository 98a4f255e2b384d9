"""One process owns a run; a dead one is followed by exactly one other; clocks of different machines never meet."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scs_study.experiments.compose import PROJECT
from scs_study.runs import lock as lease
from scs_study.runs.lock import Busy, LockLost, acquire, owner_of
from tests.gates import PATIENCE, state_of, until
from tests.support.work import CONTEXT, start


class Clock:
    """The observer's clock, which goes on when it is told to: no test waits for a heartbeat to be missed."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def silence(self, folder: Path, heartbeats: lease.Heartbeats, seconds: float) -> None:
        """Look for that many seconds for a sign of life of the owner, who has the run all the time."""
        for _ in range(round(seconds)):
            self.now += 1
            with pytest.raises(Busy):
                acquire(folder, heartbeats)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lease, "_clock", made)
    return made


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


OWNER = """
import sys, time
from pathlib import Path
from scs_study.runs import lock as lease
lease.HEARTBEAT = 0.02
{clock}
held = lease.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""
SKEWED = """
import os
really = os.utime
lease.os.utime = lambda path, times=None: really(path, times if times else (time.time() + {skew},) * 2)
"""


def on_another_node(folder: Path, clock: str) -> subprocess.Popen[bytes]:
    """A process that holds the run, with its own host name and process numbers: another node, as far as it shows."""
    script = OWNER.format(clock=clock)
    command = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c"]
    command += [f'hostname elsewhere && exec "{sys.executable}" -c \'{script}\' "{folder}"']
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"held\n"
    return process


def can_unshare() -> bool:
    command = ["unshare", "--uts", "--pid", "--fork", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


needs_node = pytest.mark.skipif(not can_unshare(), reason="needs the right to make process namespaces (root)")


@needs_node
@pytest.mark.parametrize("skew", [0.0, 86400.0, -86400.0], ids=["same clock", "a day ahead", "a day behind"])
def test_an_owner_on_another_node_is_followed_only_when_its_heartbeat_stops(
    tmp_path: Path, clock: Clock, skew: float
) -> None:
    process = on_another_node(tmp_path, SKEWED.format(skew=skew) if skew else "")
    path, heartbeats = tmp_path / "lease-1.json", lease.Heartbeats()
    try:
        for _ in range(round(2 * lease.STALE / lease.HEARTBEAT)):
            with pytest.raises(Busy, match="on elsewhere"):
                acquire(tmp_path, heartbeats)
            beat = path.stat().st_mtime_ns
            until(lambda beat=beat: path.stat().st_mtime_ns != beat)
            clock.now += lease.HEARTBEAT  # by now it has beaten again: it lives, whatever its clock says
    finally:
        os.kill(first_child(process.pid), signal.SIGKILL)
        process.wait()
    clock.silence(tmp_path, heartbeats, 1)  # its last heartbeat may not have been seen yet
    clock.silence(tmp_path, heartbeats, lease.STALE - 1)
    clock.now += 1
    acquire(tmp_path, heartbeats).release()


def first_child(pid: int) -> int:
    """The process that `unshare` has made: the first of its namespace, with which all of them end."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


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


TRY = """
import sys
from pathlib import Path
from scs_study.runs.lock import Busy, acquire, owner_of
try:
    acquire(Path(sys.argv[1]))
    print("taken over")
except Busy:
    print("busy" if owner_of(Path(sys.argv[1])) else "busy, of nobody")
"""
HOLD = """
import sys, time
from pathlib import Path
from scs_study.runs.lock import acquire
held = acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def unshared(script: str, folder: Path, hide: str, *namespaces: str) -> subprocess.Popen[str]:
    """A process of `script` in new namespaces, of whose /proc the shell commands `hide` have taken something away.

    Not its namespace's first process: that has the same number everywhere.
    """
    shell = f'{hide} && "{sys.executable}" -c \'{script}\' "{folder}"; exit $?'
    command = ["unshare", "--mount", *namespaces, "sh", "-c", shell]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(PROJECT)})


@contextmanager
def killed_in_the_end(holder: subprocess.Popen[str]) -> Iterator[None]:
    """A context that begins when the process has said that it holds the run."""
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
    finally:
        holder.kill()


@needs_node
@pytest.mark.parametrize("deeper", ["", "true; true; "], ids=["same number", "another number"])
def test_containers_that_share_a_host_name_and_show_no_processes_do_not_take_each_others_runs(
    tmp_path: Path, deeper: str
) -> None:
    hide, apart = "mount -t tmpfs none /proc", ("--pid", "--fork", "--kill-child")
    with (
        unshared(HOLD, tmp_path, hide, *apart) as holder,
        killed_in_the_end(holder),
        unshared(TRY, tmp_path, deeper + hide, *apart) as other,
    ):
        assert other.communicate(timeout=PATIENCE)[0] == "busy\n"


@needs_node
def test_a_process_that_is_only_hidden_from_this_one_is_not_gone(tmp_path: Path) -> None:
    """As with hidepid, where a user does not see the processes of another."""
    (empty := tmp_path / "empty").mkdir()
    (run := tmp_path / "run").mkdir()
    command = [sys.executable, "-c", HOLD, str(run)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    hide = f'mount --bind "{empty}" /proc/{holder.pid}'
    with holder, killed_in_the_end(holder), unshared(TRY, run, hide) as other:
        assert other.communicate(timeout=PATIENCE)[0] == "busy\n"


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
