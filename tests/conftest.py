"""What all tests share: one thread, so that two workers fill two cores and numbers do not depend on the machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

os.environ["MPLBACKEND"] = "agg"  # a notebook's `!make test` hands on a backend that only the notebook's Python has
torch.set_num_threads(1)

pytest_plugins = ["tests.support.undisturbed"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a slow test come first: begun last, one of them would keep one of the two workers waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def arithmetic_left_alone() -> Iterator[None]:
    """Flushing denormals is a setting of the process: left on, a later test fails far from the cause."""
    yield
    assert float(torch.tensor(1e-40) * 1) > 0, "this test left the process flushing denormals to zero"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs (root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
