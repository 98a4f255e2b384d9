"""The JAX layers, in a process of their own: JAX starts threads, after which no process may fork, and tests do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
UNOPTIMISED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
"""For what is computed once: compiling it well takes longer than computing it, by more than half of these checks."""


@pytest.mark.slow
@pytest.mark.timeout(3600)  # a whole file of tests, each with a limit of its own
@pytest.mark.parametrize("checks", ["layer_checks.py", "mnist_checks.py"])
def test_every_check_passes(checks: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/jax/{checks}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XLA_FLAGS": UNOPTIMISED}
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
