"""The short form of `make chaos`: kills, damage and a full disk, and the same bytes in the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from scs_study.experiments.compose import PROJECT


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_study_under_fire_equals_one_that_was_left_in_peace() -> None:
    command = [sys.executable, str(PROJECT / "scripts/chaos.py"), "--kills", "6", "--epochs", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=1700, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 runs are equal bit for bit" in done.stdout
    kills = sum(int(count) for count in re.findall(r"(\d+) (?:worker|launcher) killed", done.stdout))
    assert kills >= 6
    assert "may not mount a tmpfs" in done.stdout or re.search(
        r"survived: +[1-9]\d* words about a full disk", done.stdout
    )
