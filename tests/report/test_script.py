"""`make report` from run folders to a page, and where there is a browser to a PDF."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from scs_study.experiments.grid import load_study
from scs_study.report.pdf import find_browser
from scs_study.runs.archive import RECORDS, pack
from tests.analysis.run_folders import cell, learning_curve, write_run
from tests.report.pages import cells, write_figures
from tests.support import commands
from tests.support.browser import CHROMIUM


@pytest.mark.slow
def test_a_page_of_runs_by_name_and_of_published_records(tmp_path: Path) -> None:
    """All runs are finished, so watching them ends at once."""
    write_run(tmp_path / "runs", cell(), [0.5, 0.6, 0.7], layers=1)
    records, other = tmp_path / "published" / RECORDS, tmp_path / "other"
    write_run(other, cell("scs"), [0.5, 0.6, 0.8], layers=1)
    pack(other, [path.name for path in other.iterdir()], records)
    line = [
        *("match=rohrer25k-*", "watch=1", "only=[1]"),
        *(f"runs={tmp_path / 'runs'}", f"results={tmp_path / 'results'}", f"folders=[{records}]"),
        f"pdf={str(CHROMIUM is not None).lower()}",
    ]
    found = commands.run("report.py", *line)
    assert found.returncode == 0, found.stderr
    text = (tmp_path / "results" / "matched" / "report.html").read_text()
    assert "Finished: all 2 runs" in text
    assert all(f">{each.run_name}<" in text for each in (cell(), cell("scs")))
    assert str(tmp_path) not in text
    for words in ("Weight norms of every layer: ", "Exponents p of every kernel: "):  # of both places
        assert f"<figcaption>{words}rohrer25k on digits" in text
    assert [path.name for path in (tmp_path / "results" / "matched").iterdir() if path.is_dir()] == []
    if CHROMIUM is not None:
        assert (tmp_path / "results" / "matched" / "report.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_several_studies_are_one_page_with_one_section_of_verdicts(tmp_path: Path) -> None:
    planned = [*cells((0,))[:4], *(dataclasses.replace(c, arch="rohrer47k") for c in cells((0,))[:4])]
    for number, planned_cell in enumerate(planned):
        write_run(tmp_path / "runs", planned_cell, learning_curve(0.7, planned_cell.train.epochs, number))
    line = [
        *("study=table3", "also=[table4,table3]", "seed=0"),
        *("train.epochs=12", f"runs={tmp_path / 'runs'}", f"results={tmp_path / 'results'}"),
    ]
    found = commands.run("report.py", *line)
    assert found.returncode == 0, found.stderr
    (file,) = (tmp_path / "results").rglob("report.html")
    text = file.read_text()
    assert text.count('id="verdicts"') == 1
    assert "Report of 2 studies" in text
    assert all(f">{load_study(name).title}<" in text for name in ("table3", "table4"))
    for name in ("table3", "table4"):
        assert f"make replicate STUDY={name} ARGS=&#39;seed=0 train.epochs=12&#39;" in text
    assert "make report STUDY=table3,table4 ARGS=&#39;seed=0 train.epochs=12&#39;" in text
    refused = commands.run("report.py", *line, "study.seeds=2")
    assert refused.returncode == 2
    assert "study.seeds=2 is a setting of one study" in refused.stderr


@pytest.mark.slow
def test_a_study_that_was_computed_elsewhere_has_figures_too_and_one_that_has_its_own_keeps_those(
    tmp_path: Path,
) -> None:
    """Of table 4 nothing has begun, and it costs the others nothing."""
    results = tmp_path / "results"
    for number, planned_cell in enumerate(cells((0,))):
        state = "failed" if number == 1 else "done"
        write_run(tmp_path / "runs", planned_cell, learning_curve(0.7, 12, number), state=state, layers=1)
    line = ["study=table3", "also=[table4]", "seed=0", "train.epochs=12", f"runs={tmp_path / 'runs'}"]
    found = commands.run("report.py", *line, f"results={results}")
    assert found.returncode == 0, found.stderr
    (file,) = results.rglob("report.html")
    text = file.read_text()
    for words in ("Weight norms of every layer", "Exponents p of every kernel"):
        assert f"<figcaption>{words}: rohrer25k on cifar10" in text
    assert [path for path in results.rglob("*") if path.is_file()] == [file], "what was drawn is on the page alone"
    write_figures(results / "table3-seed=0-train.epochs=12", ["saliency"])
    assert commands.run("report.py", *line, f"results={results}").returncode == 0
    text = file.read_text()
    assert "<figcaption>Saliency maps: rohrer25k on cifar10" in text
    assert "<figcaption>Weight norms" not in text


def test_without_a_browser_a_pdf_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="pdf=true: no browser"):
        find_browser()
