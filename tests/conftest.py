"""What all tests share: one thread, so that workers do not crowd each other and no number depends on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from tests import gates as gates_module

os.environ["MPLBACKEND"] = "agg"  # a notebook's `!make test` hands on a backend that only the notebook's Python has
torch.set_num_threads(1)
# How long an example takes, or its making, is no verdict.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

pytest_plugins = ["tests.support.undisturbed"]


def pytest_configure(config: pytest.Config) -> None:
    """Every Python process that the tests start stops at gates (tests/gates)."""
    os.environ[gates_module.VARIABLE] = tempfile.mkdtemp(prefix="scs-gates-")
    path = [str(gates_module.LISTENER), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, path)))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing of the gates is left behind."""
    shutil.rmtree(os.environ[gates_module.VARIABLE], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a slow test come first: begun last, one would keep the others waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def arithmetic_left_alone() -> Iterator[None]:
    """Flushing denormals is a setting of the process: left on, a later test fails far from the cause."""
    yield
    assert float(torch.tensor(1e-40) * 1) > 0, "this test left the process flushing denormals to zero"


@pytest.fixture
def shut() -> Iterator[Callable[..., gates_module.Gate]]:
    """`tests.gates.shut`; in the end all gates are open."""
    yield gates_module.shut
    gates_module.open_all()


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
