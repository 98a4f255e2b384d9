"""The Triton operators give the formulas' values and gradients (interpreted on the CPU), and are used on CUDA only."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from scs_study.experiments.compose import PROJECT
from scs_study.layers.kernels import fused, start


@pytest.mark.skipif(not start.HAVE_TRITON, reason="torch comes without Triton on this system")
def test_every_operator_is_right() -> None:
    """In a process of its own: whether Triton interprets is settled when its kernels are read."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-W", "error", "-m", "tests.layers.fused"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=environment, check=False)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 43
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert done.returncode == 0, done.stderr


def test_the_cpu_never_sees_them() -> None:
    assert not fused.usable(torch.zeros(1, 3, 2, 2))
