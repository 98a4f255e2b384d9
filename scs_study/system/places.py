"""Where this code and its own files lie: in a checkout beside the package, in an installed package inside it."""

from __future__ import annotations

import os
from pathlib import Path

from scs_study.system.files import check_path

PACKAGE = Path(__file__).resolve().parents[1]
CODE = PACKAGE.parent
"""The folder that the package lies in: a checkout, a copy of one for the cluster, or site-packages."""
INSTALLED = (PACKAGE / "conf").is_dir()
"""Whether this is a package from a wheel, which brings conf/ and results/paper/ along (pyproject.toml)."""
_FILES = PACKAGE if INSTALLED else CODE
CONF = _FILES / "conf"
"""The config groups."""
PAPER = _FILES / "results" / "paper"
"""The paper's tables."""
PROJECT = Path.cwd() if INSTALLED else CODE
"""What relative folders (runs, results, data) are taken from: the checkout; where there is none, the working folder."""


def below_project(path: object) -> Path:
    """`path`, taken from the project's folder when it is relative: commands work from anywhere.

    Raises ValueError where there is none (runs=null).
    """
    if path is None or path == "":
        raise ValueError("runs and results: each must be the path of a folder")
    found = PROJECT / user_path("runs and results", path)
    check_path("runs and results", found)
    return found


def user_path(key: str, path: object) -> Path:
    """Return the path that a user gave for `key`; ~ is his home. Raises ValueError where nobody knows that home."""
    expanded = os.path.expanduser(str(path))
    if expanded.startswith("~"):
        name = Path(expanded).parts[0]
        raise ValueError(f"{key}: {path}: {name} is nobody's home; write ./{name} for a folder of that name")
    return Path(expanded)
