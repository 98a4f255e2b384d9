"""Every layer in one network: paired with the convolution by seed, and held to the difference that the paper has."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from scs_study.analysis.collect import collect
from scs_study.analysis.layer_versions import ANALYSIS, verdict, versions
from scs_study.analysis.registry import Subject
from tests.analysis.run_folders import cell, write_run

NEAR, FAR = -0.033, -0.1
"""Of the convolution's accuracy. The paper's Rohrer68K: SCS without ReLU and with MaxAbsPool 80.32, conv 83.60 %."""


def study(runs: Path, seeds: int) -> Subject:
    for seed in range(seeds):
        settings = {"arch": "rohrer68k", "seed": seed, "data__name": "cifar10"}
        base = 0.7 + 0.01 * seed
        write_run(runs, cell("conv", "relu", "max", **settings), [0.5, 0.6, base])
        write_run(runs, cell("scs", "none", "maxabs", **settings), [0.5, 0.6, base + NEAR + 0.001 * seed])
        write_run(runs, cell("scs", "none", "maxabs", init="own", **settings), [0.1, 0.5, base + FAR - 0.001 * seed])
        write_run(runs, cell("cosine", "none", "maxabs", **settings), [0.1, 0.1, 0.1])
    return Subject(collect(runs), runs, runs.parent / "results")


def test_versions_are_paired_by_seed_and_one_fits_whose_interval_holds_the_papers_difference(tmp_path: Path) -> None:
    subject = study(tmp_path / "runs", 3)
    found = {version.name: version for version in versions(subject)}
    near = found["scs (none, maxabs)"]
    assert near.difference == pytest.approx(100 * (NEAR + 0.001))
    assert near.away == pytest.approx(near.difference - 100 * (0.8032 - 0.836))
    assert near.low < near.difference < near.high
    assert near.fits
    assert not found["scs from its own start (none, maxabs)"].fits
    dead = found["cosine (none, maxabs)"]
    assert (dead.dead, dead.accuracy.mean) == (3, 10.0), "a dead seed counts as chance"
    said = verdict(list(found.values()))
    assert "fits scs (none, maxabs);" in said
    assert said.startswith("preliminary (3 of 800 epochs)")


def test_one_seed_has_no_interval_and_fits_nothing_yet(tmp_path: Path) -> None:
    subject = study(tmp_path / "runs", 1)
    found = versions(subject)
    assert all(math.isnan(version.low) and not version.fits for version in found)
    assert "nearest is scs (none, maxabs), 0.0 points away" in verdict(found)
    paths = ANALYSIS.report(subject)
    (table,) = (path for path in paths if path.suffix == ".csv")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == ["conv", "scs", "scs", "cosine"], "the most accurate first"
    assert rows[0]["difference"] == ""
    assert any(path.suffix == ".png" for path in paths)


def test_without_a_convolution_beside_them_nothing_is_held_to_the_paper(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", cell("scs", "none", "maxabs", arch="rohrer68k", data__name="cifar10"), [0.5, 0.6, 0.7])
    subject = Subject(collect(tmp_path / "runs"), tmp_path / "runs", tmp_path / "results")
    assert "no run stands beside a convolution" in verdict(versions(subject))
