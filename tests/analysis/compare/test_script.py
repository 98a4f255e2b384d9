"""`make compare` from run folders to its table and figure, and one sentence for a wrong command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scs_study.runs.archive import RECORDS, pack
from tests.analysis.run_folders import cell, write_run
from tests.support import commands


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.run("compare.py", *arguments)


@pytest.mark.slow
def test_a_pattern_of_run_names_beside_published_records(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for seed in range(3):
        write_run(runs, cell("conv", seed=seed), [0.5, 0.6, 0.70 + 0.01 * seed])
        write_run(runs, cell("scs", seed=seed), [0.5, 0.6, 0.75 + 0.03 * seed])
    records = tmp_path / "published" / RECORDS
    pack(runs, [path.name for path in runs.glob("*-scs-*")], records)
    found = compare("a=*-conv-*", f"b={records}", f"runs={runs}", f"results={tmp_path}")
    assert found.returncode == 0, found.stderr
    assert "-7.00" in found.stdout  # -5, -7, -9
    assert {path.name for path in tmp_path.glob("compare-*/*/*")} == {
        "compare.md",
        "compare.csv",
        "compare.png",
        "compare.pdf",
    }


@pytest.mark.slow
def test_a_wrong_command_is_one_sentence(tmp_path: Path) -> None:
    found = compare("a=qick", "b=quick", f"runs={tmp_path}", f"results={tmp_path}")
    assert found.returncode == 2
    assert "did you mean quick?" in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
