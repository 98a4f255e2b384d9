"""The published tables are what the published records of the runs give, byte for byte: a real study as a golden one."""

from __future__ import annotations

import functools
import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from scs_study.analysis import layer_versions
from scs_study.analysis.fidelity import report as fidelity
from scs_study.analysis.publish import publish_tables, study_frame
from scs_study.analysis.registry import Subject
from scs_study.analysis.robustness.report import models_of, report
from scs_study.config.schema import CellConfig
from scs_study.evaluation.fidelity.settings import fidelity_of
from scs_study.evaluation.robustness.settings import robustness_of
from scs_study.experiments.compose import PROJECT, load_option
from scs_study.experiments.grid import load_study, plan, sub_studies
from scs_study.runs.archive import RECORDS, unpack

RESULTS = PROJECT / "results"
PUBLISHED = sorted(path.parent.name for path in RESULTS.glob(f"*/{RECORDS}"))
SAMPLED = sorted({path.parents[1].name for path in RESULTS.glob("*/tables/fidelity.csv")})
ATTACKED = sorted({path.parents[1].name for path in RESULTS.glob("*/tables/robustness*.csv")})


SIX = ("pgd_long", "apgd_ce", "apgd_dlr", "apgd_t", "square", "transfer")
"""The additional attacks that were there then."""


def published_cells(name: str, runs: Path) -> list[CellConfig]:
    """The cells of a study whose runs are published: a study that trains for days is, as its seeds are complete."""
    return [cell for cell in plan(load_study(name)) if (runs / cell.run_name).is_dir()]


def published_forms(tables: Path, pattern: str = "*") -> dict[str, bytes]:
    """The tables for readers and for programs; those for LaTeX are left to whoever writes a paper."""
    return {path.name: path.read_bytes() for path in tables.glob(pattern) if path.suffix in (".md", ".csv")}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The runs of a published study, unpacked once."""

    @functools.cache
    def unpacked(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        unpack(RESULTS / name / RECORDS, folder)
        return folder

    return unpacked


def test_there_is_something_published() -> None:
    assert "cifar10_short" in PUBLISHED
    assert ATTACKED == ["cifar10_4ep"]
    assert SAMPLED == ["gan_mnist_short"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_tables_are_a_function_of_the_records(name: str, tmp_path: Path, published: Callable[[str], Path]) -> None:
    study, folder = load_study(name), RESULTS / name
    runs = published(name)
    publish_tables(sub_studies(study), study_frame(published_cells(name, runs), runs), runs, tmp_path)
    written = published_forms(tmp_path / "tables")
    assert written.items() <= published_forms(folder / "tables").items()
    assert written


@pytest.mark.parametrize("name", ATTACKED)
def test_tables_of_attacks_are_a_function_of_the_records_and_weights(
    name: str, tmp_path: Path, published: Callable[[str], Path]
) -> None:
    folder = RESULTS / name
    frame = study_frame(published_cells(name, published(name)), published(name))
    assert models_of(frame, published(name))[1] == []
    # Published when `short` made the additional attacks on 200 images; the images of the others are not in the records.
    settings = robustness_of({**load_option("attack", "short"), "checks": SIX, "check_images": 200})
    report(frame, published(name), settings, tmp_path, suffix="-short")
    written = published_forms(tmp_path / "tables")
    assert written == published_forms(folder / "tables", "robustness*")


def test_the_table_of_layers_is_a_function_of_the_records_dead_kernels_included(
    tmp_path: Path, published: Callable[[str], Path]
) -> None:
    runs, name = published("layers_2ep"), "layers_2ep"
    layer_versions.report(Subject(study_frame(published_cells(name, runs), runs), runs, tmp_path))
    written = published_forms(tmp_path / "tables")
    assert written == published_forms(RESULTS / name / "tables", "layers.*")


@pytest.mark.parametrize("name", SAMPLED)
def test_tables_of_samples_are_a_function_of_the_records(
    name: str, tmp_path: Path, published: Callable[[str], Path]
) -> None:
    runs = published(name)
    subject = Subject(study_frame(published_cells(name, runs), runs), runs, tmp_path)
    fidelity.report(subject, fidelity_of(OmegaConf.create(load_option("fidelity", "trained"))))
    written = published_forms(tmp_path / "tables")
    assert written == published_forms(RESULTS / name / "tables", "fidelity.*")


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_record_is_of_a_cell_of_its_study(name: str, published: Callable[[str], Path]) -> None:
    names = {path.name for path in published(name).iterdir()}
    assert names
    assert names <= {cell.run_name for cell in plan(load_study(name))}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_records_tell_of_no_machine(name: str) -> None:
    text = gzip.decompress((RESULTS / name / RECORDS).read_bytes()).decode()
    assert '\\"host\\"' not in text
    assert not re.search(r"=/(home|root|tmp|mnt|work)/", text)
