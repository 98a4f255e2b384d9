"""The published tables are what the published records of the runs give, byte for byte: a real study as a golden one."""

from __future__ import annotations

from pathlib import Path

import pytest

from scs_study.analysis.collect import identity_columns
from scs_study.analysis.publish import publish_tables, study_frame
from scs_study.analysis.robustness.evaluated import targets
from scs_study.analysis.robustness.study import publish
from scs_study.analysis.variants import variants
from scs_study.config.compose import PROJECT, load_option
from scs_study.evaluation.robustness.settings import robustness_of
from scs_study.experiments.grid import load_study, parts, plan

PUBLISHED = sorted(path.parent.name for path in (PROJECT / "results").glob("*/records"))

ATTACKED = sorted({path.parents[2].name for path in (PROJECT / "results").glob("*/records/*/robustness")})


def test_there_is_something_published() -> None:
    assert "cifar10_short" in PUBLISHED
    assert ATTACKED == ["cifar10_4ep"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_tables_are_a_function_of_the_records(name: str, tmp_path: Path) -> None:
    study, folder = load_study(name), PROJECT / "results" / name
    publish_tables(parts(study), study_frame(plan(study), folder / "records"), tmp_path)
    written = {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()}
    assert written.items() <= {path.name: path.read_bytes() for path in (folder / "tables").iterdir()}.items()
    assert written


@pytest.mark.parametrize("name", ATTACKED)
def test_tables_of_attacks_are_a_function_of_the_records_and_weights(name: str, tmp_path: Path) -> None:
    folder = PROJECT / "results" / name
    frame = study_frame(plan(load_study(name)), folder / "records")
    rows = [row for group in variants(frame) for row in group]
    found, problems = targets(rows, identity_columns(frame), folder / "records")
    assert problems == []
    publish(frame, found, robustness_of(load_option("attack", "short")), tmp_path)
    written = {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()}
    assert written == {path.name: path.read_bytes() for path in (folder / "tables").glob("robustness*")}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_cell_of_a_published_study_has_its_record(name: str) -> None:
    folder = PROJECT / "results" / name / "records"
    assert {path.name for path in folder.iterdir()} == {cell.run_name for cell in plan(load_study(name))}
