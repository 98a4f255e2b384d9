"""How much an action looks at a folder: a measure of work that is the same on every machine."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path


def counted(action: Callable[[], object], folder: Path) -> tuple[int, int]:
    """(files opened, folders listed) in `folder` while `action` was done; not the modules that were imported for it."""
    count: Counter[str] = Counter()
    on = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if on and event in ("open", "os.listdir", "os.scandir"):
            path = arguments[0]
            count[event] += isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(str(folder))

    sys.addaudithook(hook)  # the process keeps it
    try:
        action()
    finally:
        on = False
    return count["open"], count["os.listdir"] + count["os.scandir"]
