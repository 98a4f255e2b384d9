"""The Keras layers on every backend that is installed, each in a process of its own: Keras takes one a process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jax.test_jax import UNOPTIMISED

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(3600)  # a whole file of tests, each with a limit of its own
@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_every_check_passes(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1", "XLA_FLAGS": UNOPTIMISED}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "tests/keras/keras_checks.py",
        "tests/keras/conversion_checks.py",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize(("module", "backend"), [("scs_study.keras", "jax"), ("scs_study.jax", "jax")])
def test_importing_it_imports_no_torch(module: str, backend: str) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
