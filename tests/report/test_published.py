"""What README says of all claims is what the published records say, and `make publish` keeps it so."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from scs_study.analysis.claims.load import load_claims
from scs_study.analysis.claims.speed import read_benchmark
from scs_study.analysis.plots.style import new_figure, our_style
from scs_study.experiments.compose import PROJECT
from scs_study.report.embed import embed
from scs_study.report.forest import Line
from scs_study.report.overview import Row, draw_panel
from scs_study.report.published import NAME, publish_verdicts
from scs_study.runs.archive import BESIDE, RECORDS

RESULTS = PROJECT / "results"


@pytest.mark.slow
def test_the_verdicts_are_a_function_of_the_records(tmp_path: Path) -> None:
    """When it fails: make claims ARGS=published=true."""
    for published in (*RESULTS.rglob(RECORDS), *RESULTS.glob(f"*/{BESIDE}/*.safetensors")):
        place = tmp_path / published.relative_to(RESULTS)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(published.read_bytes())
    verdicts, paths = publish_verdicts(load_claims(), tmp_path, read_benchmark())
    assert len(verdicts) == len(load_claims().claims)
    assert {path.name for path in paths} >= {f"{NAME}.md", f"{NAME}.png", "claims.md", "claims-comparisons.csv"}
    for path in paths:
        there = RESULTS / path.relative_to(tmp_path)
        assert path.suffix == ".png" or path.read_bytes() == there.read_bytes(), there
        assert there.is_file()


@pytest.mark.parametrize(
    ("claim", "lines"),
    [
        (6, [Line("a", -52.0, -97.0, 3.0, (-99.0,), (70.0, 99.0)), Line("b", 0.1, math.nan, math.nan)]),
        (8, [Line("a", 0.02, 0.01, 0.03), Line("b", 40.0, math.nan, math.nan, (), (1.2, 50.0))]),
        (3, [Line("a", 1e-9, math.nan, math.nan)]),
    ],
)
def test_every_mark_of_the_overview_is_whole(claim: int, lines: list[Line]) -> None:
    test = load_claims().claims[claim - 1].tests[0]
    with our_style():
        figure = new_figure(9, 3)
        axes = figure.subplots()
        draw_panel(axes, [Row("a claim", "a: x; b: y", test, tuple(lines), decided=False)])
        figure.draw_without_rendering()
    drawn = [line for line in axes.lines if line.get_zorder() >= 3 and len(line.get_xdata())]
    assert len(drawn) >= len(lines)
    for line in drawn:
        pixels = axes.transData.transform([(x, 0) for x in line.get_xdata()])[:, 0]
        half = line.get_markersize() * figure.dpi / 72 / 2
        assert all(axes.bbox.x0 + half < x < axes.bbox.x1 - half for x in pixels)


def test_a_page_shows_the_table_as_it_is_now(tmp_path: Path) -> None:
    page, table = tmp_path / "page.md", tmp_path / "tables" / "one.md"
    table.parent.mkdir()
    table.write_text("new \\1\n")
    around = "before\n<!-- tables/one.md, a test holds them equal -->\n{}<!-- end -->\nafter\n"
    other = around.replace("one.md", "none.md").format("kept\n")
    page.write_text(around.format("old\n") + other)
    assert embed([page], tmp_path) == [page]
    assert page.read_text() == around.format("new \\1\n") + other
    assert embed([page], tmp_path) == []
