"""The tables of verdicts, what the paper has beside them, and what a damaged file costs."""

import math

import pandas as pd
import pytest

from scs_study.analysis.claims.load import load_claims
from scs_study.analysis.claims.table import comparison_frame, estimate_words, verdict_frame, write_claims
from tests.analysis.claims.planted_claims import EPOCHS, RELU, judged, planted
from tests.analysis.run_folders import cell


def test_the_tables_say_every_verdict_and_no_folder_of_this_machine(tmp_path):
    planted(tmp_path / "runs", 3, 0.05)
    verdict = judged(tmp_path / "runs")
    paths = write_claims([verdict], tmp_path / "out", "A paper")
    assert sorted(path.name for path in paths) == [
        "claims-comparisons.csv", "claims-comparisons.md", "claims.csv", "claims.md"]  # fmt: skip
    for path in paths:
        assert str(tmp_path) not in path.read_text()
    frame = verdict_frame([verdict])
    read = pd.read_csv(paths[1])
    assert read["verdict"].tolist() == frame["verdict"].tolist() == ["preliminary: leans yes"]
    assert read["estimate"][0] == pytest.approx(verdict.mean, rel=1e-11)
    assert set(read["runs"][0].split()) == {folder.name for folder in (tmp_path / "runs").iterdir()}


def test_the_papers_own_difference_stands_beside_cells_of_its_recipe_alone(tmp_path):
    # Table 1 and Table 6 both have these two cells of Rohrer100K: 80.32 - 64.96 and 83.47 - 73.07.
    test = {"where": [{"arch": "rohrer100k"}], "b": {**RELU, "pooling": "maxabs"}, "epochs": None}
    found = comparison_frame([judged(tmp_path, test=test)])
    assert (found["paper_low"][0], found["paper_high"][0]) == pytest.approx((10.40, 15.36))
    other = comparison_frame([judged(tmp_path, test={**test, "set": {"train.max_lr": 0.05}})])
    assert math.isnan(other["paper_low"][0])


def test_a_damaged_file_costs_its_own_comparison_alone_and_is_named(tmp_path):
    planted(tmp_path, 6, -0.05)
    planted(tmp_path, 6, 0.05, arch="rohrer47k")
    name = cell(seed=3, arch="rohrer47k", train__epochs=EPOCHS).run_name
    path = tmp_path / name / "history.jsonl"
    path.write_text("{broken\n" + path.read_text())
    verdict = judged(tmp_path, test={"where": ["two"]})
    assert verdict.word == "not supported"
    assert f"{name}/history.jsonl" in verdict.parts[1].lacking[0]
    assert str(tmp_path) not in verdict.parts[1].lacking[0]


def test_a_narrow_interval_keeps_its_width_in_words():
    test = first_test("mnist_under_1400_parameters")
    assert estimate_words(99.3113, 99.2708, 99.3495, test) == "99.31 % [99.27, 99.35]"
    assert estimate_words(99.3, 98.1, 99.9, test) == "99.3 % [98.1, 99.9]"
    assert estimate_words(99.3, 99.3, 99.3, test) == "99.3 % [99.3, 99.3]"


def test_a_slope_and_a_plateau_are_no_points_of_accuracy():
    slope, plateau = first_test("gain_grows_in_small_networks"), first_test("every_p_from_one_is_good")
    assert estimate_words(5.36, math.nan, math.nan, slope) == "+5.4 points per tenfold size"
    assert estimate_words(1.25, 0.9, 1.5, plateau) == "p = 1.25 [0.90, 1.50]"


def first_test(name):
    """The first test of a claim of the project's own file."""
    return next(claim.tests[0] for claim in load_claims().claims if claim.name == name)
