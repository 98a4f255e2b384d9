"""A study that includes others has the tables and figures of each, made of that one's own cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scs_study.analysis.collect import collect
from scs_study.analysis.paper import paper_table
from scs_study.analysis.publish import publish_figures, publish_tables, study_frame
from scs_study.analysis.tables import table
from scs_study.experiments.grid import SubStudy, load_study, plan, sub_studies
from tests.analysis.run_folders import write_run

PAPER = sub_studies(load_study("paper"))
SHORT = {"train.epochs": 2}


@pytest.mark.parametrize("part", PAPER, ids=[part.study.name for part in PAPER])
def test_a_table_has_its_own_cells_and_no_others(part: SubStudy, tmp_path: Path) -> None:
    """Tables 1 and 6 share six cells but for the seed, and `p_values` trains the same variants by another recipe."""
    everything = collect(tmp_path, {cell.run_name: cell.identity() for cell in plan(load_study("paper"))})
    own = everything[everything["run"].isin([cell.run_name for cell in part.cells])]
    built = table(own, part.study.paper)
    assert sum(row.planned for row in built.rows) == len(part.cells)
    if part.study.paper is not None:
        assert len(built.rows) == len(paper_table(part.study.paper))
        assert [row.planned for row in built.rows] == [1] * len(built.rows)
        assert built.extra == ()


def test_the_parts_of_a_part_are_shortened_once() -> None:
    short = sub_studies(load_study("paper_short"))
    assert [part.study.name for part in short] == [part.study.name for part in PAPER]
    assert {cell.train.epochs for part in short for cell in part.cells if part.study.name == "table3"} == {8}
    assert {cell.run_name for part in short for cell in part.cells} == {
        c.run_name for c in plan(load_study("paper_short"))
    }


def test_a_study_is_its_own_only_part() -> None:
    (only,) = sub_studies(load_study("table3"))
    assert only.study == load_study("table3")
    assert list(only.cells) == plan(load_study("table3"))


def test_analyses_of_a_study_and_of_its_parts_follow_the_parts() -> None:
    both = replace(load_study("paper"), include=("weight_norms", "table3"), analyses=("saliency",))
    assert [part.study.analyses for part in sub_studies(both)] == [("weight_norms", "saliency"), ("saliency",)]


def test_every_part_that_has_started_gets_a_folder(tmp_path: Path) -> None:
    study = replace(load_study("paper"), include=("table3", "table4", "p_values"))
    subs = sub_studies(study, SHORT)
    runs, folder = tmp_path / "runs", tmp_path / "results"
    for part in (subs[0], subs[2]):
        for cell in part.cells[:3]:
            write_run(runs, cell, [0.3, 0.4], layers=2)
    frame = study_frame(plan(study, SHORT), runs)
    assert "Table 4" in publish_tables(subs, frame, runs, folder)
    assert {path.parent.parent.name for path in folder.glob("*/tables/*.csv")} == {"table3", "table4", "p_values"}
    publish_figures(subs, frame, runs, folder)
    assert {path.parent.parent.name for path in folder.glob("*/figures/*.png")} == {"table3", "p_values"}
    assert len(list((folder / "p_values" / "figures").glob("p_values*.png"))) > 0
