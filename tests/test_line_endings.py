"""A clone has the bytes that were committed, whatever the user's git makes of line endings."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scs_study.system.places import PROJECT


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "core.autocrlf=false"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("setting", ["core.autocrlf=true", "core.autocrlf=input", "core.eol=crlf"])
def test_a_clone_is_the_same_bytes_whatever_git_is_told(setting: str, tmp_path: Path) -> None:
    """Scripts would not run, and published tables would not be what the records give."""
    shown = ["scripts/setup.sh", "scs_study/launch/start.sh", "Makefile", "requirements.lock", ".ci/run",
             "results/paper/table3.csv", "tests/analysis/golden/table3.csv", "conf/config.yaml"]  # fmt: skip
    source = tmp_path / "source"
    for name in (".gitattributes", *shown):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, source / name)
    git(source, "init", "-q")
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "one")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "-c", setting, str(source), str(clone)], check=True, capture_output=True)
    for name in shown:
        assert (clone / name).read_bytes() == (PROJECT / name).read_bytes(), name
    for name in (name for name in shown if name.endswith(".sh")):
        subprocess.run(["bash", "-n", str(clone / name)], check=True)
    unchanged = subprocess.run(["git", "-C", str(clone), "status", "--porcelain"], capture_output=True, text=True)
    assert (unchanged.returncode, unchanged.stdout) == (0, "")
