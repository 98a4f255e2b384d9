"""Gates: a process of the tests stops, or dies, exactly where it is about to write a certain file.

So a run is "in the middle" because it is held there, on a fast machine and on a slow one alike. It works for every
Python process that the tests start, with whatever code: its interpreter reads `listener/sitecustomize.py`, which hears
of files that are opened and renamed (Python's audit events) and looks for a gate. Its other threads go on, heartbeats
among them, and it hears signals; SIGKILL kills it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LISTENER = Path(__file__).with_name("listener")
VARIABLE = "SCS_TEST_GATES"
PATIENCE = 800.0
"""Seconds; only ever the end of a hang."""
_numbers = itertools.count()


def until(condition: Callable[[], Any], seconds: float = PATIENCE, every: float = 0.02) -> Any:
    """What `condition` gives as soon as it is true. Raises AssertionError after `seconds`, which only end a hang."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"did not happen in {seconds} s"
        time.sleep(every)
    return value


@dataclass(frozen=True)
class Gate:
    """A gate that is shut until `open`."""

    file: Path

    def held(self) -> list[int]:
        """The processes that stand at the gate and live."""
        pids = (int(path.suffix[1:]) for path in self.file.parent.glob(f"{self.file.name}.*"))
        return [pid for pid in pids if state_of(pid) not in ("", "Z", "X")]

    def reached(self, but: Collection[int] = ()) -> int:
        """A process that is held at the gate, waited for. but: not one of these."""
        return int(until(lambda: [pid for pid in self.held() if pid not in but])[0])

    def open(self) -> None:
        """Let whoever is held go on, and hold nobody any more."""
        self.file.unlink(missing_ok=True)


def shut(path: Path | str, lines: int | None = None, after: int = 0, kill: bool = False) -> Gate:
    """A gate for processes that are about to write, or rename to, a file of that name (a pattern, as for fnmatch).

    A path "import <module>" is that of a process about to import one. lines: only while the file has so many. after:
    of each process, so many such moments are let through. kill: it is killed there by SIGKILL, not held.
    """
    file = Path(os.environ[VARIABLE]) / f"{next(_numbers)}.gate"
    about = {"path": str(path), "lines": lines, "after": after, "kill": kill}
    file.with_suffix(".new").write_text(json.dumps(about))
    file.with_suffix(".new").rename(file)
    return Gate(file)


def open_all() -> None:
    """Open every gate."""
    for file in Path(os.environ[VARIABLE]).iterdir():
        file.unlink(missing_ok=True)


def state_of(pid: int) -> str:
    """The letter of a process's state in /proc (R, S, T, Z ...), "" where there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def listening_python(folder: Path, first: str = "") -> Path:
    """A command like this Python that stops at gates even where its caller sets PYTHONPATH, as a task of SLURM does.

    first: what the shell does before it becomes that Python.
    """
    script = folder / "listening-python"
    path = f'{shlex.quote(str(LISTENER))}:"$PYTHONPATH"'
    script.write_text(f'#!/bin/sh\n{first}\nPYTHONPATH={path} exec {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o755)
    return script
