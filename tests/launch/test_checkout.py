"""A run names the commit of its own checkout, or says why it cannot; never the commit of another repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scs_study.runs import git_info as checkout
from scs_study.runs import provenance
from scs_study.runs.git_info import git_state

NOBODY = 65534


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def repository(folder: Path) -> str:
    """The commit of a new repository in `folder` with one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "code.py").write_text("x = 1\n")
    git(folder, "init", "-q")
    git(folder, "add", "code.py")
    git(folder, "commit", "-q", "-m", "one")
    return git(folder, "rev-parse", "HEAD")


def test_the_commit_of_a_checkout_and_whether_it_was_changed(tmp_path: Path) -> None:
    commit = repository(tmp_path)
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "new.txt").write_text("a file that git does not know changes nothing\n")
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "code.py").write_text("x = 2\n")
    assert git_state(tmp_path) == {"commit": commit, "dirty": True}


def test_code_unpacked_inside_another_repository_does_not_have_its_commit(tmp_path: Path) -> None:
    repository(tmp_path)
    (tmp_path / "unpacked").mkdir()
    state = git_state(tmp_path / "unpacked")
    assert (state["commit"], state["dirty"]) == (None, None)
    assert "the repository around it is another one" in state["unknown"]


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"])
def test_a_repository_that_the_environment_names_is_another_one(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command started by a hook of git's inherits the hook's repository."""
    ours = repository(tmp_path / "ours")
    repository(tmp_path / "theirs")
    inside = {"GIT_DIR": ".git", "GIT_WORK_TREE": "", "GIT_INDEX_FILE": ".git/index", "GIT_OBJECT_DIRECTORY": "objects"}
    monkeypatch.setenv(variable, str(tmp_path / "theirs" / inside[variable]))
    assert git_state(tmp_path / "ours") == {"commit": ours, "dirty": False}


def test_a_checkout_below_another_repository_has_its_own_commit(tmp_path: Path) -> None:
    repository(tmp_path)
    (tmp_path / "ours").mkdir()
    commit = repository(tmp_path / "ours")
    git(tmp_path / "ours", "commit", "-q", "--allow-empty", "-m", "two")
    assert git_state(tmp_path / "ours")["commit"] == git(tmp_path / "ours", "rev-parse", "HEAD") != commit


def test_a_further_work_tree_is_a_checkout(tmp_path: Path) -> None:
    repository(tmp_path / "first")
    git(tmp_path / "first", "worktree", "add", "-q", str(tmp_path / "second"))
    git(tmp_path / "second", "commit", "-q", "--allow-empty", "-m", "two")
    (tmp_path / "first" / "code.py").write_text("x = 2\n")
    assert git_state(tmp_path / "second") == {"commit": git(tmp_path / "second", "rev-parse", "HEAD"), "dirty": False}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a checkout of somebody else's")
def test_a_checkout_that_belongs_to_another_user_has_its_commit(tmp_path: Path) -> None:
    """One that root made for all: git refuses a repository that it finds there, not one that it is told of."""
    commit = repository(tmp_path)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    refused = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], capture_output=True, text=True)
    assert "dubious ownership" in refused.stderr
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}


def test_without_git_the_reason_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {"commit": None, "dirty": None, "unknown": "git is not on PATH"}


def no_commit(folder: Path) -> None:
    git(folder, "init", "-q")


def no_objects(folder: Path) -> None:
    repository(folder)
    shutil.rmtree(folder / ".git" / "objects")


def no_repository(folder: Path) -> None:
    (folder / ".git").mkdir()


def gone(folder: Path) -> None:
    (folder / ".git").write_text("gitdir: ../nowhere\n")


@pytest.mark.parametrize("damage", [no_commit, no_objects, no_repository, gone])
def test_a_damaged_repository_is_a_reason_and_not_the_one_around_it(damage: object, tmp_path: Path) -> None:
    assert callable(damage)
    repository(tmp_path)
    (tmp_path / "ours").mkdir()
    damage(tmp_path / "ours")
    state = git_state(tmp_path / "ours")
    assert state["commit"] is None
    assert "git refuses to read the checkout: " in state["unknown"]
    assert "\n" not in state["unknown"]


def test_the_reason_is_told_once_and_only_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository(tmp_path / "known")
    for folder, lines in ((tmp_path / "known", 0), (tmp_path, 1)):
        monkeypatch.setattr(provenance, "CODE", folder)
        provenance.tell_unknown_commit.cache_clear()
        provenance.tell_unknown_commit()
        provenance.tell_unknown_commit()
        assert capsys.readouterr().err.count("no git checkout") == lines
    provenance.tell_unknown_commit.cache_clear()


def test_a_frozen_copy_keeps_the_state_of_its_checkout(tmp_path: Path) -> None:
    state = {"commit": None, "dirty": None, "unknown": "git is not on PATH"}
    (tmp_path / checkout.SNAPSHOT).write_text('{"commit": null, "dirty": null, "unknown": "git is not on PATH"}')
    assert git_state(tmp_path) == state
