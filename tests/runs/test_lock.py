"""One process owns a run; a dead one is followed by exactly one other; clocks of different machines never meet."""

from __future__ import annotations

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
from scs_study.runs.lock import Busy, LeaseLost, acquire, owner_of
from tests.gates import PATIENCE, state_of, until
from tests.support.work import CONTEXT, start


class Clock:
    """The observer's clock, which goes on when it is told to: no test waits for a heartbeat to be missed."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


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
    with pytest.raises(LeaseLost, match="taken this run over"):
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
    path, watch = tmp_path / "lease-1.json", lease.Watch()
    try:
        for _ in range(4):
            with pytest.raises(Busy, match="on elsewhere"):
                acquire(tmp_path, watch)
            beat = path.stat().st_mtime_ns
            until(lambda beat=beat: path.stat().st_mtime_ns != beat)
            clock.now += lease.STALE  # by now it has beaten again: it lives, whatever its clock says
    finally:
        os.kill(first_child(process.pid), signal.SIGKILL)
        process.wait()
    for seconds in (0.0, lease.STALE - 1):
        clock.now += seconds
        with pytest.raises(Busy):
            acquire(tmp_path, watch)
    clock.now += 1
    acquire(tmp_path, watch).release()


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
        except LeaseLost as lost:
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
    done, watch = steps.stat().st_size, lease.Watch()
    with pytest.raises(Busy):
        acquire(folder, watch)
    clock.now += lease.STALE
    taken = acquire(folder, watch)
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
        watch = lease.Watch()
        for seconds in (0.0, lease.STALE - 1):
            clock.now += seconds
            with pytest.raises(Busy):
                acquire(tmp_path, watch)
        clock.now += 1
        acquire(tmp_path, watch).release()


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
