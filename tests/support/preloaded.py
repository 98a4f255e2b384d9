"""A process that has imported what a command needs of other projects, and forks one for every command it is asked for.

Importing torch, pandas and matplotlib takes seconds, and a command of a test only a moment. What is forked here is a
process as good as any: of its own number, which hears signals, can be killed, and ends as Python ends; and all of this
project's code is imported there and nowhere before. Asked by tests/support/commands.py.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import warnings
from typing import Any

MODULES = (
    "torch._dynamo", "torchvision", "pandas", "scipy.stats", "statsmodels.stats.weightstats", "sklearn.datasets",
    "matplotlib.backends.backend_agg", "matplotlib.pyplot", "hydra.main", "optuna", "jinja2", "safetensors.torch",
    "tabulate", "torch.onnx", "multiprocessing.forkserver",
)  # fmt: skip
LARGEST = 2**20
"""Bytes of a request."""


def main(address: str) -> None:
    """Serve until standard input, which is whoever started this, is at its end."""
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    sys.dont_write_bytecode, sys.pycache_prefix = False, os.path.dirname(address)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told, tell = socket.socketpair()
    tell.setblocking(False)
    signal.set_wakeup_fd(tell.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{address}.new")
    listener.listen(64)
    os.rename(f"{address}.new", address)
    children: dict[int, socket.socket] = {}
    selector = selectors.DefaultSelector()
    for each in (sys.stdin, told, listener):
        selector.register(each, selectors.EVENT_READ)
    while True:
        ready = [key.fileobj for key, _ in selector.select()]
        if told in ready:
            told.recv(4096)
        reap(children)
        if listener in ready:
            client, _ = listener.accept()
            words, descriptors, _, _ = socket.recv_fds(client, LARGEST, 3)
            if not words:
                client.close()
                continue
            about = json.loads(words)
            if (pid := os.fork()) == 0:
                selector.close()
                for each in (told, tell, listener, client, *children.values()):
                    each.close()
                os._exit(become(about, descriptors))
            for descriptor in descriptors:
                os.close(descriptor)
            children[pid] = client
            client.send(str(pid).encode())
        if sys.stdin in ready:
            os._exit(0)


def reap(children: dict[int, socket.socket]) -> None:
    """Tell whoever asked for a command how it has ended."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with contextlib.suppress(OSError), children.pop(pid) as client:
            client.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(about: dict[str, Any], descriptors: list[int]) -> int:
    """Be the command: its streams, its environment, its folder, its words. Gives the exit status.

    It ends as a process of multiprocessing does, without taking apart what was imported, which takes as long as a test.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if about["terminal"]:
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in about["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(about["environment"])
    os.chdir(about["folder"])
    sys.stdin, sys.stdout, sys.stderr = (stream(number, mode) for number, mode in enumerate("rww"))
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    for each in filter(None, os.environ.get("PYTHONWARNINGS", "").split(",")):
        action, _, category, module, *_ = [*each.split(":"), "", "", ""]
        kind = getattr(__import__("builtins"), category or "Warning")
        warnings.filterwarnings(action, category=kind, module=module)  # type: ignore[arg-type]
    sys.executable = about["python"]
    script, *arguments = about["words"]
    path = [each for each in sys.path if each not in ("", sys.path[0])]
    sys.argv = [script, *arguments]
    others = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [os.path.dirname(os.path.abspath(script)), *others, *path]
    code = 0
    try:
        try:
            runpy.run_path(script, run_name="__main__")
        finally:
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    for each in (sys.stdout, sys.stderr):
        try:
            each.flush()
        except OSError:
            code = code or 120
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return code


def stream(number: int, mode: str) -> io.TextIOWrapper:
    """A standard stream as Python makes it: lines at once on a terminal, everything at once where that is asked for."""
    at_once = "PYTHONUNBUFFERED" in os.environ
    raw = io.FileIO(number, mode, closefd=False)
    binary: Any = io.BufferedReader(raw) if mode == "r" else raw if at_once else io.BufferedWriter(raw)
    errors = "backslashreplace" if number == 2 else "strict"
    lines = mode == "w" and (raw.isatty() or number == 2)
    return io.TextIOWrapper(binary, errors=errors, line_buffering=lines, write_through=at_once)


if __name__ == "__main__":
    main(sys.argv[1])
