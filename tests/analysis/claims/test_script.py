"""`make claims` from a folder of runs to tables, and one sentence for a wrong command."""

import subprocess
from pathlib import Path

import pytest

from tests.analysis.run_folders import cell, write_run
from tests.support import commands


def claims(*arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.run("claims.py", *arguments)


@pytest.mark.slow
def test_published_records_decide_what_needs_no_schedule(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_run(runs, cell(), [0.5] * 3)
    found = claims(
        f"runs={runs}", f"results={tmp_path}", "folders=[results/table2_1ep/records.jsonl.gz]", "only=[3,7,9]"
    )
    assert found.returncode == 0, found.stderr
    words = [line.split("  ")[0:2] and line[5:31].strip() for line in found.stdout.splitlines()[:3]]
    assert words[0].startswith("preliminary")
    assert words[1:] == ["supported", "not supported"]
    assert {path.name for path in (tmp_path / "claims" / "tables").iterdir()} == {
        "claims.md",
        "claims.csv",
        "claims-comparisons.md",
        "claims-comparisons.csv",
    }


@pytest.mark.slow
def test_a_wrong_command_is_one_sentence(tmp_path: Path) -> None:
    found = claims(f"runs={tmp_path}", f"results={tmp_path}", "only=[99]")
    assert found.returncode == 2
    assert "only=99: not known" in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
