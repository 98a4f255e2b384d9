"""What a published page may say of a machine: no absolute path, no name of its user or of itself."""

from __future__ import annotations

import contextlib
import getpass
import re
import socket
from collections.abc import Iterable
from pathlib import Path

_POSIX = re.compile(r"(?<![\w.:/~-])~?(?:/[^/\s'\",;:()\[\]{}<>|]+){2,}/?")
_WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:[\\/](?:[^\\/\s'\",;:<>|]+[\\/])*([^\\/\s'\",;:<>|]+)")
SHORTEST = 3
"""Letters that a name must have to be looked for in a text: one of two would be found everywhere."""
COMMON = ("root", "localhost", "user", "home", "runs")
"""Names that tell nothing of anybody."""


def public(text: object, names: Iterable[str] = ()) -> str:
    """Return a text without what is private: of absolute paths the last part stays, of `names` nothing.

    Addresses (https://...) are no paths.
    """
    found = _POSIX.sub(lambda match: "…/" + match[0].rstrip("/").rpartition("/")[2], str(text))
    found = _WINDOWS.sub(r"…/\1", found)
    for name in sorted({*names}, key=len, reverse=True):
        if len(name) >= SHORTEST and name.lower() not in COMMON:
            found = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "…", found)
    return found


def own_names() -> set[str]:
    """Return the names of this machine and of whoever uses it, as far as they are known."""
    host = socket.gethostname()
    names = {host, host.partition(".")[0]}
    with contextlib.suppress(OSError, KeyError, ImportError):  # a user without a name, as in some containers
        names.add(getpass.getuser())
    return names


def link(folder: Path, page: Path, results: Path) -> str | None:
    """Return a run folder's address relative to the page's folder; None where it would tell of the machine.

    That is where the runs are not beside `results`, the folder of all results: then the way there names other folders.
    """
    if folder.parent.parent.resolve() != results.parent.resolve() or not page.resolve().is_relative_to(
        results.resolve()
    ):
        return None
    up = "../" * len(page.resolve().relative_to(results.resolve()).parts)
    return f"{up}{folder.parent.name}/{folder.name}/"
