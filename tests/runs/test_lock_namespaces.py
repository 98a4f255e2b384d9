"""A process of another node, or of another container: one that is out of sight is not gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scs_study.experiments.compose import PROJECT
from scs_study.runs import lock as lease
from scs_study.runs.lock import Busy, acquire
from tests.gates import PATIENCE, until
from tests.runs.observer import Clock

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
