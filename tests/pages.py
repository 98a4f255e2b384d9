"""Pages that are followed from top to end: their files written, their lines added, their commands typed, in a copy of
this checkout that nobody else sees."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from scs_study.system.places import PROJECT
from tests.gates import PATIENCE
from tests.support import commands

BLOCK = re.compile(r"^```(\w+)(?: (\w+)=(\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def followed(page: str, home: Path) -> Path:
    """A copy of the checkout at `home`, after a page of docs/ was followed there."""
    for part in ("scs_study", "conf", "scripts", "results/paper"):
        shutil.copytree(PROJECT / part, home / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "Makefile", home)
    (home.parent / "bin").mkdir()
    python = commands.stand_in(home.parent / "bin")
    for language, verb, target, text in BLOCK.findall((PROJECT / "docs" / page).read_text()):
        if verb == "file":
            (home / target).parent.mkdir(parents=True, exist_ok=True)
            (home / target).write_text(text)
        elif verb == "add":
            path = home / target
            path.write_text(f"{path.read_text()}\n\n{text}")
        elif language == "bash":
            typed(home, home / target if verb == "cd" else home, text, python)
    return home


def typed(home: Path, folder: Path, lines: str, python: Path) -> None:
    """A block of commands, as a user types them; the first that fails ends it, and the test."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("SCS_")},
        "SCS": str(home),
        "OMP_NUM_THREADS": "1",
        "MAKEFLAGS": f"PYTHON={python} STAMP=",  # this environment, which is set up already
        "PATH": f"{python.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(["bash", "-ec", lines], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=PATIENCE, check=False)  # fmt: skip
    assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
