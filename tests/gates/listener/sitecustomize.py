"""Imported by every Python process of the tests as it starts: what happens there at a gate (tests/gates).

And what Python needs to live with libfaketime.
"""

from __future__ import annotations

import fnmatch
import json
import os
import select
import signal
import sys
import threading
import time
from typing import Any


def listen(folder: str) -> None:
    """Stop this process, and what is forked from it, at the gates in `folder` from now on."""
    passed: dict[str, int] = {}
    inside = threading.local()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not flags & (os.O_WRONLY | os.O_RDWR):
                return
        elif event == "os.rename":
            path = arguments[1]
        elif event == "import":
            path = f"import {arguments[0]}"
        else:
            return
        if getattr(inside, "hook", False) or isinstance(path, int):
            return
        inside.hook = True
        try:
            for name in sorted(os.listdir(folder)):
                if name.endswith(".gate"):
                    come_to(os.path.join(folder, name), os.fsdecode(path))
        except OSError:  # the gate, or the whole folder, has just been taken away
            pass
        finally:
            inside.hook = False

    def come_to(gate: str, path: str) -> None:
        with open(gate) as file:
            text = file.read()
        about = json.loads(text)
        if not fnmatch.fnmatchcase(path, about["path"]):
            return
        if about["lines"] is not None and lines(path) != about["lines"]:
            return
        passed[gate] = passed.get(gate, 0) + 1
        if passed[gate] <= about["after"]:
            return
        if about["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        with open(f"{gate}.{os.getpid()}", "w"):
            pass
        while os.path.exists(gate):
            time.sleep(0.005)

    sys.addaudithook(hook)


def lines(path: str) -> int:
    """How many lines the file has, 0 where there is none yet."""
    try:
        with open(path, "rb") as file:
            return file.read().count(b"\n")
    except OSError:
        return 0


def sleep(seconds: float) -> None:
    """As time.sleep, by another call of the system."""
    select.select([], [], [], seconds)


if "SCS_TEST_GATES" in os.environ:
    listen(os.environ["SCS_TEST_GATES"])
if "FAKETIME" in os.environ:
    # libfaketime (0.9.10) refuses clock_nanosleep, with which Python sleeps, when it is told to leave the monotonic
    # clock alone; when it is not, it lets every lock with a timeout hang.
    time.sleep = sleep
