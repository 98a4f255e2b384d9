"""Which commit the code comes from, and whether it was changed since."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from scs_study import files

FROZEN = "frozen.json"
"""Beside a copy of the code that was frozen for the cluster: the state of the checkout it was copied from."""


def git_state(folder: Path) -> dict[str, Any]:
    """The commit of the checkout and whether tracked files differ from it; nulls where there is no git checkout.

    Of a frozen copy of the code: the state of the checkout when it was copied.
    """
    if (folder / FROZEN).exists():
        return dict(files.read_json(folder / FROZEN))
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no").strip())}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
