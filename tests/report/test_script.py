"""`make report` from run folders to a page, and where there is a browser to a PDF."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scs_study.experiments.compose import PROJECT
from scs_study.report.pdf import find_browser
from scs_study.runs.archive import RECORDS, pack
from tests.analysis.run_folders import cell, write_run
from tests.gates import PATIENCE
from tests.support.browser import CHROMIUM


@pytest.mark.slow
def test_a_page_of_runs_by_name_and_of_published_records(tmp_path: Path) -> None:
    """All runs are finished, so watching them ends at once."""
    write_run(tmp_path / "runs", cell(), [0.5, 0.6, 0.7])
    records, other = tmp_path / "published" / RECORDS, tmp_path / "other"
    write_run(other, cell("scs"), [0.5, 0.6, 0.8])
    pack(other, [path.name for path in other.iterdir()], records)
    line = [
        *(sys.executable, str(PROJECT / "scripts" / "report.py"), "match=rohrer25k-*", "watch=1", "only=[1]"),
        *(f"runs={tmp_path / 'runs'}", f"results={tmp_path / 'results'}", f"folders=[{records}]"),
        f"pdf={str(CHROMIUM is not None).lower()}",
    ]
    found = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert found.returncode == 0, found.stderr
    text = (tmp_path / "results" / "matched" / "report.html").read_text()
    assert "Finished: all 2 runs" in text
    assert all(f">{each.run_name}<" in text for each in (cell(), cell("scs")))
    assert str(tmp_path) not in text
    if CHROMIUM is not None:
        assert (tmp_path / "results" / "matched" / "report.pdf").read_bytes().startswith(b"%PDF")


def test_without_a_browser_a_pdf_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="pdf=true: no browser"):
        find_browser()
