"""Nodes on one machine: each with a host name, a clock and a client of a shared disk of its own.

A node is a mount and host name namespace, in which the shared disk is mounted at the same path as everywhere. The disk
is GlusterFS or sshfs (FUSE: a container's kernel rarely has a client for NFS), the clock is libfaketime's, for the
client of the disk and for what `command` starts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.gates import state_of, until

SFTP = "/usr/lib/openssh/sftp-server"
PACKAGES = {
    "glusterfs": "glusterfs-server and faketime",
    "sshfs": "sshfs, openssh-sftp-server and faketime",
}
"""Debian's, for each kind of disk."""

CLIENTS = ("glusterfs", "sshfs", "sftp-server")
"""The processes that are a client of the disk."""

BRICK = """
volume disk
  type storage/posix
  option directory {base}/brick
end-volume
volume locks
  type features/locks
  subvolumes disk
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option transport.socket.listen-port {port}
  option transport.socket.bind-address 127.0.0.1
  option auth.addr.locks.allow *
  subvolumes locks
end-volume
"""
CLIENT = """
volume remote
  type protocol/client
  option transport-type tcp
  option remote-host 127.0.0.1
  option remote-port {port}
  option remote-subvolume locks
end-volume
volume times
  type features/utime
  subvolumes remote
end-volume
volume behind
  type performance/write-behind
  subvolumes times
end-volume
volume cache
  type performance/md-cache
  subvolumes behind
end-volume
"""


def missing(kind: str) -> str:
    """Why there can be no such disk here, in words; "" where there can."""
    if kind not in PACKAGES:
        return f"{kind}: no kind of disk"
    programs = {"glusterfs": ("glusterfs", "glusterfsd"), "sshfs": ("sshfs", SFTP)}[kind]
    lacking = [name for name in (*programs, "unshare", "nsenter") if not shutil.which(name, path=_path())]
    if lacking or _libfaketime() is None:
        lacking += ["libfaketime"] * (_libfaketime() is None)
        return f"{', '.join(lacking)} not installed (Debian: {PACKAGES[kind]})"
    if not os.access("/dev/fuse", os.W_OK):
        return "no right to use /dev/fuse"
    if subprocess.run(["unshare", "--mount", "--uts", "true"], capture_output=True).returncode:
        return "no right to make namespaces (root)"
    return ""


@dataclass(frozen=True)
class Disk:
    """A shared disk of one kind, mounted at `folder` by every node."""

    kind: str
    base: Path

    @property
    def folder(self) -> Path:
        """Where it is mounted, on every node."""
        return self.base / "shared"

    @property
    def mount(self) -> list[str]:
        """The command that mounts it."""
        if self.kind == "glusterfs":
            log = self.base / "client.log"
            return ["glusterfs", "-f", str(self.base / "client.vol"), "-l", str(log), str(self.folder)]
        # Otherwise it shows for up to 20 seconds what is no more, and a file that has grown cut off where it ended.
        options = f"dir_cache=no,attr_timeout=0,ssh_command={self.base}/server"
        return ["sshfs", "-o", options, f"x:{self.base}/brick", str(self.folder)]


@dataclass(frozen=True)
class Node:
    """A node: the process that keeps its namespaces, and by how many seconds its clock is ahead."""

    name: str
    holder: subprocess.Popen[bytes]
    ahead: int

    @property
    def through(self) -> list[str]:
        """What a command is to begin with to be run on the node, by the machine's clock."""
        return ["nsenter", "--mount", "--uts", "--target", str(self.holder.pid)]

    def command(self, *words: str) -> list[str]:
        """The command as it is run on the node, by the node's clock."""
        return [*self.through, "env", *clock(self.ahead), *words]

    def processes(self) -> list[int]:
        """All that runs on the node, the client of its disk among them."""
        ours = os.readlink(f"/proc/{self.holder.pid}/ns/mnt")
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(folder / "ns/mnt") == ours:
                    found.append(int(folder.name))
        return found

    def kill(self) -> None:
        """Kill all that runs on the node, as a power cut does."""
        pids = self.processes()
        for pid in sorted(pids, key=lambda pid: pid == self.holder.pid):  # with that one the namespace is gone
            _signal(pid, signal.SIGKILL)
        self.holder.wait()
        until(lambda: all(state_of(pid) in ("", "Z", "X") for pid in pids))

    def hang(self) -> None:
        """Suspend all that runs on the node, until `wake`.

        The client of the disk last: who waits for an answer of it cannot be suspended.
        """
        pids = self.processes()
        disk = {pid for pid in pids if name_of(pid) in CLIENTS}
        for some in (set(pids) - disk, disk):
            for pid in some:
                _signal(pid, signal.SIGSTOP)
            until(lambda some=some: all(state_of(pid) in ("T", "", "Z", "X") for pid in some))

    def wake(self) -> None:
        """Let what was suspended go on."""
        for pid in self.processes():
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def name_of(pid: int) -> str:
    """The name of a process's program, "" where there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def clock(ahead: int) -> list[str]:
    """The environment, as words for env, in which a program sees a clock that many seconds ahead.

    Without the last word libfaketime shifts what is waited for by the monotonic clock into the past, and a thread that
    waits, as the disk's client has one, takes a whole core.
    """
    library, offset = f"LD_PRELOAD={_libfaketime()}", f"FAKETIME={ahead:+d}s"
    return [library, offset, "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_FORCE_MONOTONIC_FIX=0"]


@contextlib.contextmanager
def nodes(kind: str, base: Path, clocks: Mapping[str, int]) -> Iterator[tuple[Disk, dict[str, Node]]]:
    """A disk, and the nodes of those names with their clocks; this process sees the disk, too, by the true time."""
    disk = Disk(kind, base)
    for folder in (base / "brick", disk.folder):
        folder.mkdir(parents=True)
    server = _serve(disk)
    made: dict[str, Node] = {}
    try:
        for name, ahead in clocks.items():
            made[name] = _node(disk, name, ahead)
        _mounted(disk, [])
        yield disk, made
    finally:
        for node in made.values():
            if node.holder.poll() is None:
                node.kill()
        subprocess.run(["umount", "-l", str(disk.folder)], capture_output=True)
        if server is not None:
            server.kill()
            server.wait()


def _serve(disk: Disk) -> subprocess.Popen[bytes] | None:
    if disk.kind == "sshfs":  # every client starts a server of its own, on the same folder
        (disk.base / "server").write_text(f"#!/bin/sh\nexec {SFTP}\n")
        (disk.base / "server").chmod(0o755)
        return None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (disk.base / "brick.vol").write_text(BRICK.format(base=disk.base, port=port))
    (disk.base / "client.vol").write_text(CLIENT.format(port=port))
    command = ["glusterfsd", "--no-daemon", "-f", str(disk.base / "brick.vol"), "-l", str(disk.base / "brick.log")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: _answers(port))
    return server


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _node(disk: Disk, name: str, ahead: int) -> Node:
    command = ["unshare", "--mount", "--uts", "sh", "-c", f"hostname {name} && echo ready && exec sleep infinity"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"ready\n"
    node = Node(name, holder, ahead)
    _mounted(disk, node.command())
    return node


def _mounted(disk: Disk, on: Sequence[str]) -> None:
    """Wait until the disk is mounted where commands that begin so are run. Raises RuntimeError."""
    done = subprocess.run([*on, *disk.mount], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{disk.kind} cannot be mounted: {done.stderr.strip() or done.returncode}")
    until(lambda: subprocess.run([*on, "mountpoint", "-q", str(disk.folder)]).returncode == 0)


def _libfaketime() -> Path | None:
    """The library for programs with threads."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
