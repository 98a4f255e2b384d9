"""Every bad argument gets the same sentence in torch, JAX and Keras."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from scs_study.experiments.compose import PROJECT
from tests.system.refusals import expected


@pytest.mark.parametrize("framework", ["torch", "jax", "keras"])
def test_a_bad_argument_is_refused_in_the_same_sentence(framework: str) -> None:
    """In a process of its own, where nothing of another test is imported."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT), "KERAS_BACKEND": "torch"}
    command = [sys.executable, "-m", "tests.system.refusals", framework]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == expected(framework)


def test_the_sentences_need_no_framework() -> None:
    code = "import sys, scs_study.system.arguments; print(sorted({'torch', 'jax', 'keras'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout == "[]\n"
