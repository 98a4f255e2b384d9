"""Commands of scripts/ as a user starts them, each a process of its own, without the seconds that its imports take.

They are forked from a process that has everything imported but this project (tests/support/preloaded.py). What is
tested of the start of Python itself, such as Ctrl-C between imports, needs a Python that starts.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from scs_study.system.places import PROJECT
from tests.gates import PATIENCE, until
from tests.support.preloaded import LARGEST


@functools.cache
def server() -> str:
    """Where the process listens that commands are forked from; it is started with the first one, and ends with us."""
    folder = tempfile.mkdtemp(prefix="scs-commands-", dir="/tmp")  # a socket's path must be short
    address = f"{folder}/socket"
    line = [sys.executable, "-m", "tests.support.preloaded", address]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, cwd=PROJECT, env=environment
    )
    atexit.register(end, process, folder)
    until(lambda: os.path.exists(address) or process.poll() is not None)
    assert process.poll() is None, "the process that commands are forked from did not start"
    return address


def end(process: subprocess.Popen[bytes], folder: str) -> None:
    """The process that commands are forked from goes."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait(PATIENCE)
    shutil.rmtree(folder, ignore_errors=True)


STAND_IN = """#!{python} -SE
import json, os, signal, socket, sys
if not sys.argv[1:] or not sys.argv[1].endswith(".py"):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
about = {{"words": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
about |= {{"terminal": False, "ignored": [], "python": {python!r}}}
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.connect({address!r})
socket.send_fds(server, [json.dumps(about).encode()], [0, 1, 2])
pid = int(server.recv(64))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(pid, number))
code = int(server.recv(64))
sys.exit(code if code >= 0 else 128 - code)
"""


def stand_in(folder: Path) -> Path:
    """A program like Python for who types commands: it has its scripts forked, and hands signals on to them."""
    program = folder / "python"
    program.write_text(STAND_IN.format(python=sys.executable, address=server()))
    program.chmod(0o755)
    return program


class Command:
    """A command on its way; it is asked and told as a subprocess.Popen."""

    def __init__(
        self,
        script: str | Path,
        *arguments: str,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
        cwd: Path = PROJECT,
        env: Mapping[str, str] | None = None,
        terminal: bool = False,
        ignored: Sequence[signal.Signals] = (),
        python: str | Path = sys.executable,
    ) -> None:
        """script: a name in scripts/, or a path. terminal: standard input is to be its terminal, in a new session.

        python: what it is to start further commands with.
        """
        self.returncode: int | None = None
        self.args = (str(PROJECT / "scripts" / script), *arguments)
        about = {
            "words": self.args,
            "folder": str(cwd),
            "environment": dict(os.environ if env is None else env),
            "terminal": terminal,
            "ignored": list(ignored),
            "python": str(python),
        }
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.connect(server())
        self.stdout, self.stderr = None, None
        with contextlib.ExitStack() as ours:
            streams = []
            for name, given in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
                if given == subprocess.DEVNULL:
                    given = ours.enter_context(open(os.devnull, "r+b", buffering=0))
                elif given == subprocess.PIPE:
                    reader, writer = os.pipe()
                    ours.callback(os.close, writer)
                    setattr(self, name, os.fdopen(reader))
                    given = writer
                elif given == subprocess.STDOUT:
                    given = streams[1]
                streams.append(given if isinstance(given, int) else given.fileno())
            words = json.dumps(about).encode()
            assert len(words) < LARGEST
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
            socket.send_fds(self._server, [words], streams)
        self.pid = int(self._server.recv(64))

    def poll(self) -> int | None:
        """Its exit status, negative for a signal, None while it lives."""
        if self.returncode is None and select.select([self._server], [], [], 0)[0]:
            self.returncode = int(self._server.recv(64))
            self._server.close()
        return self.returncode

    def wait(self, timeout: float = PATIENCE) -> int:
        """Its exit status in the end."""
        if self.returncode is None:
            if not select.select([self._server], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.poll()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


def run(script: str | Path, *arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """What becomes of a command, and what it says where `how`, as for Command, says nothing else of its streams."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
        command = Command(script, *arguments, **{"stdout": out, "stderr": error, **how})
        try:
            command.wait()
        except subprocess.TimeoutExpired:
            command.kill()
            raise
        for file in (out, error):
            file.seek(0)
        return subprocess.CompletedProcess(command.args, command.wait(), out.read(), error.read())
