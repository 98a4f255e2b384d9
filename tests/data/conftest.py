"""Folders of images of seven classes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.data.own_sets import write_own


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own(tmp_path_factory.mktemp("own") / "root")


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    """A copy of the images, to change."""
    return Path(shutil.copytree(original, tmp_path / "root"))
