"""The published tables of sweeps are what the published journal and records of their runs give, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from scs_study.analysis.sweep.publish import publish
from scs_study.experiments.compose import PROJECT
from scs_study.experiments.sweep.settings import sweep_of
from scs_study.experiments.sweep.storage import check_settings, load
from scs_study.runs.archive import RECORDS, unpack

PUBLISHED = sorted(path.parent for path in (PROJECT / "results/sweep").glob(f"*/{RECORDS}"))


def test_there_is_something_published() -> None:
    assert [folder.name for folder in PUBLISHED if folder.name.startswith("cifar10_short")]


@pytest.mark.usefixtures("quiet_optuna")
@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_table_and_answer_are_a_function_of_the_records(folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    unpack(folder / RECORDS, runs)
    name = folder.name.partition("-")[0]
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        sweep = sweep_of(name, compose("sweep", [f"sweep={name}"]).sweep, {})
    study = load(folder.name, None, runs)
    check_settings(study, sweep)
    publish(study, sweep, runs, tmp_path / "results")
    for table in ("trials.csv", "trials.md"):
        assert (tmp_path / "results" / table).read_bytes() == (folder / table).read_bytes()
