"""Which commit the code comes from, and whether it was changed since; or why nobody can know."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from scs_study.system import files

SNAPSHOT = "frozen.json"
"""Beside a snapshot of the code for the cluster: the state of the checkout it was copied from."""


def git_state(folder: Path) -> dict[str, Any]:
    """Return the commit of the checkout in `folder` and whether tracked files differ from it.

    Where that cannot be known both are None, and "unknown" says why. The repository is the one in `folder` itself: one
    around it is somebody else's (the code was unpacked or installed there), and so is one that the environment names
    (GIT_DIR, in a hook). Of a snapshot of the code: the state of the checkout when it was copied.
    """
    if (folder / SNAPSHOT).exists():
        return dict(files.read_json(folder / SNAPSHOT))
    if not (folder / ".git").exists():
        around = any((parent / ".git").exists() for parent in folder.resolve().parents)
        other = ", and the repository around it is another one" if around else ""
        return _unknown(f"the code's folder is no git checkout (it was unpacked or installed){other}")
    try:
        commit = _git(folder, "rev-parse", "--verify", "HEAD").strip()
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no").strip())}
    except FileNotFoundError:
        return _unknown("git is not on PATH")
    except OSError as error:
        return _unknown(f"git cannot be run: {error.strerror}")
    except subprocess.CalledProcessError as error:
        return _unknown(f"git refuses to read the checkout: {' '.join(error.stderr.split()) or error.returncode}")


def _unknown(reason: str) -> dict[str, Any]:
    return {"commit": None, "dirty": None, "unknown": reason}


def _git(folder: Path, *arguments: str) -> str:
    # The repository is named, not looked for: git looks in the folders above too, and refuses one that it has found
    # when it belongs to somebody else (a checkout that root has made for all). No optional locks: a run must not be in
    # the way of whoever commits meanwhile.
    where = [f"--git-dir={folder / '.git'}", f"--work-tree={folder}"]
    command = ["git", "--no-optional-locks", *where, *arguments]
    environment = {key: value for key, value in os.environ.items() if not _names_another(key)} | {"LC_ALL": "C"}
    # In the folder: status would list what is below the working folder alone.
    return subprocess.run(
        command, check=True, capture_output=True, text=True, errors="replace", env=environment, cwd=folder
    ).stdout


def _names_another(variable: str) -> bool:
    """Whether an environment variable tells git of a repository, an index or objects other than the folder's own."""
    return variable.startswith("GIT_") and not variable.startswith("GIT_CONFIG")
