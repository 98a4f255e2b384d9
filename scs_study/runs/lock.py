"""Who works on a run: a lock in its folder, so that one process computes it and a dead one is replaced by one other.

Locks are files lease-<number>.json, each created exclusively and none ever deleted; the highest number owns the run.
That needs no lock of the file system (network file systems often have none that can be trusted), and since a number is
given out once, two processes that find the same dead owner cannot both follow it.

A lock is over when its modification time is RETURNED (given back: that takes no space on a full disk), when its
process on this machine is gone, or when its heartbeat (the modification time) has not moved for STALE seconds in which
an observer looked at it again and again, as measured on the observer's own clock. Clocks of different machines are
never compared: an observer only sees whether the time on a lock changes, whatever time that is and whoever's clock it
comes from (sshfs and GlusterFS write the client's, NFS the server's; docs/cluster.md). And where the file server
hangs, nobody can look, and nobody is silent.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEARTBEAT = 5.0
STALE = 60.0
"""Seconds. Well above HEARTBEAT and above what network file systems keep attributes in their caches."""

RETURNED = 1
"""The modification time, in seconds, of a lock that is given back. Not 0: sshfs takes that for "now"."""
_RETURNED_NS = (0, RETURNED * 10**9)
"""Both: up to commit 2263eb8 it was 0."""

Heartbeats = dict[Path, tuple[int, float, float]]
"""Of locks looked at before: the heartbeat seen, for how long it has been silent, and when it was last looked at."""


class Busy(Exception):
    """Another process works on the run."""


class LockLost(Exception):
    """Another process has taken the run over: this one was silent for too long (suspended, or cut off)."""


@dataclass
class RunLock:
    """The right to write in a run's folder, kept alive by a thread until `release`."""

    path: Path
    number: int
    _beaten: float
    _stop: threading.Event
    _lost: bool = False

    def check(self) -> None:
        """Raise LockLost when the run has another owner by now. Ask before every write."""
        if self._taken_over():
            raise LockLost(f"{self.path.parent.name}: another process has taken this run over")

    def check_if_silent(self) -> None:
        """Do what `check` does, but look at the disk only if there is a reason to. Ask at every step."""
        if self._lost or _awake() - self._beaten > STALE / 2:
            self.check()

    def release(self) -> None:
        """Free the run. The file stays, so that its number is never used twice."""
        self._stop.set()
        _give_back(self.path)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # a file system that is away for a moment; `check` knows the rest
                self._lost = self._taken_over()
                if not self._lost:
                    os.utime(self.path)
                self._beaten = _awake()
        _give_back(self.path)  # once more: `release` may have come between the question and the touch

    def _taken_over(self) -> bool:
        # The follower's lock, or the sign it has left on this one: a network file system may remember for a while that
        # there was no such file as the former, but asks its server about a file that is opened.
        if _file(self.path.parent, self.number + 1).exists():
            return True
        try:
            return _read(self.path)[0] in _RETURNED_NS
        except FileNotFoundError:
            return True


def acquire(folder: Path, heartbeats: Heartbeats | None = None) -> RunLock:
    """Return a lock on the run in `folder`. Raises Busy, with a sentence saying who has it; OSError from the file
    system.

    `heartbeats` remembers between calls when a heartbeat was last seen to move; pass the same dict again.
    """
    number = _highest(folder)
    if number:
        owner = _alive(_file(folder, number), heartbeats if heartbeats is not None else {})
        if owner is not None:
            raise Busy(f"{folder.name}: process {owner.get('pid')} on {owner.get('host')} is working on it")
    path = _file(folder, number + 1)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError:
        if not path.exists():
            raise
        # FileExistsError; of two that come at the same time sshfs tells one "operation not permitted".
        raise Busy(f"{folder.name}: another process has just started on it") from None
    if number:
        _give_back(_file(folder, number))  # its owner, if it was only silent, sees it there, too
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(_owner(), file)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        _give_back(path)
        raise
    lock = RunLock(path, number + 1, _awake(), threading.Event())
    threading.Thread(target=lock._beat, daemon=True, name=f"heartbeat {folder.name}").start()
    return lock


def owner_of(folder: Path, now: float | None = None, heartbeats: Heartbeats | None = None) -> dict[str, Any] | None:
    """Return the live owner of the run in `folder` (host, pid, age in seconds of its last heartbeat), None if it has
    none.

    An owner on another machine is judged by its silence, as `acquire` does, where `heartbeats` has earlier looks. At
    first sight it counts as live as long as its heartbeat is younger than STALE seconds at `now`, the time by the clock
    of the file system (runs.state.clock); None takes this machine's. That is right as far as the clocks agree, and
    nothing is ever taken over by it.
    """
    number = _highest(folder)
    path = _file(folder, number)
    owner = _alive(path, {} if heartbeats is None else heartbeats) if number else None
    if owner is None:
        return None
    try:
        age = max(0.0, (time.time() if now is None else now) - path.stat().st_mtime)
    except FileNotFoundError:
        return None
    return (
        {**owner, "age": age} if heartbeats is not None or owner.get("machine") == _machine() or age < STALE else None
    )


def _alive(path: Path, heartbeats: Heartbeats) -> dict[str, Any] | None:
    """The owner named in the lock, None when the lock is over."""
    try:
        beat, content = _read(path)
    except FileNotFoundError:
        return None
    if beat in _RETURNED_NS:
        return None
    owner: dict[str, Any] = {}
    with contextlib.suppress(ValueError):  # its writer died between creating and writing it, or is about to write
        named = json.loads(content)
        owner = named if isinstance(named, dict) else {}
    if owner.get("machine") == _machine() and _gone(owner):
        return None
    now = _clock()
    seen, silent, looked = heartbeats.get(path, (None, 0.0, now))
    silent = watched(silent, looked, now) if seen == beat else 0.0
    heartbeats[path] = (beat, silent, now)
    return owner if silent < STALE else None


def watched(seconds: float, looked: float, now: float) -> float:
    """Return for how long an owner has been watched by now, who had been for `seconds` at the last look, at `looked`.

    Of a long time without a look only a little counts: the disk that we could not see the owner could not write to.
    """
    return seconds + min(now - looked, HEARTBEAT)


def _read(path: Path) -> tuple[int, bytes]:
    """The heartbeat on a lock, its modification time in nanoseconds, and what it says."""
    with path.open("rb") as file:  # opening makes a network file system ask its server again
        return os.fstat(file.fileno()).st_mtime_ns, file.read()


def _give_back(path: Path) -> None:
    with contextlib.suppress(OSError):  # where even this is refused, silence says the same after STALE seconds
        os.utime(path, (RETURNED, RETURNED))


def _clock() -> float:
    """Seconds by which this process measures another one's silence."""
    return time.monotonic()


def _awake() -> float:
    """Seconds that go on counting while this process, or the whole machine, is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _file(folder: Path, number: int) -> Path:
    return folder / f"lease-{number}.json"


def _highest(folder: Path) -> int:
    return max((_number(name) for name in os.listdir(folder)), default=0) if folder.is_dir() else 0


def _number(name: str) -> int:
    text = name.removeprefix("lease-").removesuffix(".json")
    return int(text) if name == f"lease-{text}.json" and text.isdigit() else 0


def _owner() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": _started(pid), "machine": _machine()}


def _machine() -> str:
    """Where a process number means one process: host, boot and process namespace (containers may share a host name).

    Where that cannot be found out, a name that no other process has: they go by the heartbeat then.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return _nowhere_else(os.getpid()) if sys.platform == "linux" else socket.gethostname()


@functools.cache
def _nowhere_else(pid: int) -> str:
    return f"{socket.gethostname()} {pid} {secrets.token_hex(8)}"


_UNSEEN = "running"
"""For when a process started: it exists, and /proc is not there or does not show it (macOS, hidepid)."""


def _gone(owner: dict[str, Any]) -> bool:
    """Whether the owner, on this machine, is no more. One that is only hidden is left to its heartbeat."""
    seen, named = _started(owner.get("pid", -1)), owner.get("started")
    return seen is None or (seen != named and _UNSEEN not in (seen, named))


def _started(pid: int) -> str | None:
    """When process `pid` started, in the kernel's ticks; None if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _UNSEEN if _exists(pid) else None
    return None if fields[0] == "Z" else fields[19]


def _exists(pid: int) -> bool:
    if pid <= 0:  # would be a group of processes
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
