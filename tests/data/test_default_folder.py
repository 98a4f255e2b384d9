"""Where images are looked for, and downloaded to, when nobody says where: data/ of the project, which git ignores."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from scs_study.data.image_set import DataError
from scs_study.data.load import load_known
from scs_study.runs import context as run_context
from scs_study.system.places import CONF, PROJECT
from tests.data.small_sets import COLOUR, draw, write_tree


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of which git knows nothing but what to ignore."""
    monkeypatch.setattr(run_context, "PROJECT", tmp_path)
    monkeypatch.delenv("SCS_DATA_DIR", raising=False)
    shutil.copy(PROJECT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def default(settings: list[str]) -> run_context.RunContext:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return run_context.run_context(compose("replicate", settings))


def test_images_in_the_documented_folder_are_found_and_nothing_there_is_git_s(project: Path) -> None:
    write_tree(project / "data" / "colour", COLOUR, draw(COLOUR))
    place = default([])
    images = load_known(COLOUR, place.data_root, place.data_cache, download=False)
    assert images.origin == str(project / "data" / "colour")
    assert sorted(path.name for path in project.iterdir()) == [".git", ".gitignore", "data"]
    seen = subprocess.run(["git", "-C", str(project), "status", "--porcelain"], capture_output=True, text=True)
    assert seen.stdout == "?? .gitignore\n"


def test_a_download_goes_to_the_documented_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets: list[Path] = []
    monkeypatch.setattr("scs_study.data.load.download_files", lambda _, folder: targets.append(folder))
    place = default([])
    with pytest.raises(DataError):  # nothing has come
        load_known(COLOUR, place.data_root, place.data_cache, download=True)
    assert targets == [project / "data" / "colour"]
    assert "`data/cifar10`" in (PROJECT / "docs" / "quickstart.md").read_text()
