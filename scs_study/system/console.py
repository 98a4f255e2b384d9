"""The one place that talks to whoever looks on. A reader that goes away costs its lines, and nothing else.

`... | head -3`, a terminal that is closed under a command that goes on, a log on a full disk: a line that cannot be
written is no failure of what is computed, so `say` never raises. Work that ends well ends with its own exit status.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

GONE = (errno.EPIPE, errno.EIO, errno.ENXIO, errno.ECONNRESET, errno.EBADF)
"""What a pipe without a reader, a closed terminal or a closed socket answers, now and ever after."""
LEAST = 20
"""Columns below which a terminal's width is not believed."""
USUAL = 80
"""Columns of a terminal that does not say how many it has."""

_lost: set[str] = set()
_said: set[str] = set()
_lock = threading.RLock()


def say(text: str = "", error: bool = False, end: str = "\n") -> None:
    """Print `text` on standard output (error: on standard error) at once; it is lost if nobody can get it.

    Where it is lost for another reason than that its reader has gone, standard error is told why, once.
    """
    _write(sys.stderr if error else sys.stdout, text + end)


def say_once(text: str, error: bool = False) -> None:
    """Say `text` unless this process has said the same before."""
    if text not in _said:
        _said.add(text)
        say(text, error)


def interject(text: str) -> None:
    """Say `text` from a signal's handler: past Python's buffers, which refuse whoever interrupts them."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.write(sys.stdout.fileno(), f"\n{text}\n".encode())


def lost() -> bool:
    """Return whether lines of standard output were lost though nobody turned away from them: to a full disk, say."""
    return "standard output" in _lost


def width() -> int | None:
    """Return the columns of the terminal that standard output is, None where it is a file or a pipe."""
    try:
        if sys.stdout is None or not sys.stdout.isatty():
            return None
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return USUAL
    return max(columns, LEAST) if columns else USUAL


def fitted(head: str, name: str, *tails: str) -> str:
    """`head`, `name` and the first of `tails` (each shorter than the one before) with which they fit the terminal.

    Where none does, the middle of the name is left out. A file or a pipe gets all of it.
    """
    columns = width()
    if columns is None:
        return head + name + tails[0]
    room = columns - 1  # in the last column some terminals begin a new line
    for tail in tails:
        if len(head + name + tail) <= room:
            return head + name + tail
    left = max(room - len(head + tails[-1]), 0)
    return (head + shortened(name, left) + tails[-1])[:room]


def shortened(text: str, length: int) -> str:
    """`text` with dots in place of its middle, at most `length` characters (begin and end say most of a run's name)."""
    if len(text) <= length:
        return text
    kept = max(length - 2, 0)
    return text[: kept - kept // 2] + ".."[:length] + (text[-(kept // 2) :] if kept // 2 else "")


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Return a context in which nothing fails for its output: for a command, which leaves it just before its process
    ends.

    What others print (a download's bar, Hydra's help) is treated as by `say`, and what Python flushes at its end.
    Standard streams that the command was started without are opened on nothing: otherwise a file of ours would get
    their number, and whatever prints would write into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    streams = [open(os.devnull, "w") if stream is None else stream for stream in before]  # noqa: SIM115
    sys.stdout, sys.stderr = map(_Guarded, streams)
    try:
        yield
    finally:
        for stream in streams:
            _write(stream, "")
        sys.stdout, sys.stderr = before


class _Guarded:
    """A text stream whose writing never fails; anything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        _write(self._stream, text, flush="\n" in text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        _write(self._stream, "")


def _write(stream: TextIO | None, text: str, flush: bool = True) -> None:
    if stream is None:  # the process was started with it closed
        return
    with _lock, contextlib.suppress(ValueError):  # somebody closed the stream
        try:
            stream.write(_shown(text, stream))
            while flush and not _flushed(stream):
                select.select([], [stream], [])
        except OSError as error:
            _drop(stream, error)


def _shown(text: str, stream: TextIO) -> str:
    """The text as far as the stream's alphabet goes: a terminal in Latin-1 is no reason to fail either."""
    try:
        text.encode(stream.encoding or "utf-8", stream.errors or "strict")
    except UnicodeEncodeError:
        return text.encode(stream.encoding, "backslashreplace").decode(stream.encoding)
    return text


def _flushed(stream: TextIO) -> bool:
    try:
        stream.flush()
    except BlockingIOError:  # a reader that is slow, at the end of a pipe that does not wait
        return False
    return True


def _drop(stream: TextIO, error: OSError) -> None:
    """Drop what Python has buffered for the stream: the flush at the process's end would fail for it."""
    with contextlib.suppress(OSError, ValueError):  # no file of the system: nothing flushes it
        number = stream.fileno()
        keep = None if error.errno in GONE else os.dup(number)  # a full disk may have space again
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nothing, number)
            stream.flush()
        finally:
            os.close(nothing)
            if keep is not None:
                os.dup2(keep, number)
                os.close(keep)
    name = "standard output" if stream is _plain(sys.stdout) else "standard error"
    if error.errno not in GONE and name not in _lost:
        _lost.add(name)
        say(f"{name}: {error.strerror or error}; its lines are lost, and the work goes on", error=True)


def _plain(stream: TextIO) -> TextIO:
    return stream._stream if isinstance(stream, _Guarded) else stream
