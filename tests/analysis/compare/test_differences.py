"""Differences are paired by seed where starts are common, dead seeds stand at chance, one seed has no interval."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from scs_study.analysis.collect import collect
from scs_study.analysis.compare.differences import Difference, differences
from scs_study.analysis.compare.sides import Matched, matched, side
from scs_study.analysis.compare.table import compare_text, write_compare
from scs_study.analysis.plots.compare import compare_figure
from scs_study.analysis.statistics.unpaired import unpaired
from scs_study.system import files
from tests.analysis.run_folders import cell, write_run

CONV, SCS = [0.50, 0.54, 0.47, 0.52], [0.53, 0.60, 0.55, 0.56]


def compared(runs: Path, a: dict[int, float], b: dict[int, float], **more: object) -> tuple[Matched, Difference]:
    for layer, values in (("conv", a), ("scs", b)):
        for seed, value in values.items():
            write_run(runs, cell(layer, seed=seed), [0.3, 0.9, value], **more)
    found = matched(
        *(side(n, collect(runs, sorted(p.name for p in runs.glob(f"*-{n}-*"))), runs) for n in ("conv", "scs"))
    )
    (only,) = differences(found)
    return found, only


def test_pairs_are_by_seed_and_agree_with_scipy(tmp_path: Path) -> None:
    _, found = compared(tmp_path, dict(enumerate(CONV)), dict(enumerate(SCS)))
    apart = 100 * (np.array(CONV) - np.array(SCS))
    wanted = stats.ttest_1samp(apart, 0)
    assert found.seeds == (0, 1, 2, 3)
    assert found.mean == pytest.approx(apart.mean())
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval(0.95)))
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.flip_p == pytest.approx(2 / 2**4)


@pytest.mark.parametrize("n", [1, 2])
def test_below_three_pairs_there_is_a_difference_and_no_interval(tmp_path: Path, n: int) -> None:
    _, found = compared(tmp_path, dict(enumerate(CONV[:n])), dict(enumerate(SCS)))
    assert found.mean == pytest.approx(100 * np.mean(np.array(CONV[:n]) - SCS[:n]))
    assert found.seeds == tuple(range(n))
    assert math.isnan(found.low)
    assert math.isnan(found.p)


def test_other_initial_weights_are_no_pair(tmp_path: Path) -> None:
    """Welch's interval then; and it is wider here, where both move with the seed."""
    _, before = compared(tmp_path / "a", dict(enumerate(CONV)), dict(enumerate(SCS)))
    folder = tmp_path / "b"
    for layer, values, start in (("conv", CONV, "1"), ("scs", SCS, "2")):
        for seed, value in enumerate(values):
            run = write_run(folder, cell(layer, seed=seed), [0.3, 0.9, value])
            files.write_json(
                run / "result.json", {**files.read_json(run / "result.json"), "shared_checksum": start * 64}
            )
    found = matched(
        *(side(n, collect(folder, [p.name for p in folder.glob(f"*-{n}-*")]), folder) for n in ("conv", "scs"))
    )
    (only,) = differences(found)
    wanted = stats.ttest_ind(100 * np.array(CONV), 100 * np.array(SCS), equal_var=False)
    assert only.seeds == ()
    assert (only.low, only.high) == pytest.approx(tuple(wanted.confidence_interval(0.95)))
    assert only.high - only.low > before.high - before.low
    assert "initial weights" in only.note


def test_dead_seeds_are_counted_and_stand_at_chance(tmp_path: Path) -> None:
    _, found = compared(tmp_path, {0: 0.5, 1: 0.105}, {0: 0.6, 1: 0.6})
    assert (found.a.dead, found.b.dead) == (1, 0)
    assert found.by_seed == pytest.approx((-10, 10 - 60))
    assert (found.a.live.n, found.a.live.mean) == (1, pytest.approx(50))


def test_holm_is_over_all_rows(tmp_path: Path) -> None:
    for arch in ("rohrer25k", "rohrer47k"):
        for layer, values in (("conv", CONV), ("scs", SCS)):
            for seed, value in enumerate(values):
                write_run(tmp_path, cell(layer, arch=arch, seed=seed), [0.3, 0.9, value])
    sides = [
        side(n, collect(tmp_path, sorted(p.name for p in tmp_path.glob(f"*-{n}-*"))), tmp_path) for n in ("conv", "scs")
    ]
    each = differences(matched(*sides))
    assert [d.p_holm for d in each] == pytest.approx([2 * d.p for d in each])


def test_the_table_and_the_figure(tmp_path: Path) -> None:
    found, only = compared(tmp_path / "runs", dict(enumerate(CONV)), dict(enumerate(SCS)))
    page, sheet = write_compare("A|<b>", "B", found, [only], "endpoint", tmp_path)
    assert "A\\|\\<b>" in page.read_text()
    assert compare_text("A", "B", found, [only], "endpoint").count("conv relu max") == 1
    (row,) = csv.DictReader(io.StringIO(sheet.read_text()))
    assert float(row["difference"]) == pytest.approx(only.mean, rel=1e-11)
    assert [float(each) for each in row["differences"].split()] == pytest.approx(only.by_seed, rel=1e-11)
    assert len(row["a_runs"].split()) == 4
    figures = compare_figure([only], "conv & scs <1>", tmp_path / "figures")
    assert {path.suffix for path in figures} == {".png", ".pdf"}
    assert all(path.stat().st_size > 1000 for path in figures)


def test_welchs_interval_covers_the_truth_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    truth, covered = 1.5, 0
    for _ in range(2000):
        found = unpaired(draw.normal(truth, 1.0, 5), draw.normal(0, 2.0, 8))
        covered += found.low <= truth <= found.high
    assert 0.935 <= covered / 2000 <= 0.965


def test_of_too_few_or_equal_values_there_is_what_can_be_said() -> None:
    assert math.isnan(unpaired([1.0, 2.0], [0.0, 1.0, 2.0]).low)
    assert math.isnan(unpaired([], [1.0]).mean)
    same = unpaired([1.0] * 3, [2.0] * 3)
    assert (same.mean, same.low, same.high, same.p) == (-1, -1, -1, 0)
    assert unpaired([1.0] * 3, [1.0] * 3).p == 1
