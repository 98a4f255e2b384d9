"""Studies beside the usual ones: unequal seeds, missing and dead cells, ties, no accuracy; the written rule holds."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from scs_study.analysis.claims.cells import Runs, environments
from scs_study.analysis.claims.decide import Verdict, decide
from scs_study.analysis.claims.load import load_claims
from scs_study.analysis.collect import collect
from scs_study.config.schema import CellConfig
from tests.analysis.run_folders import write_run

DIP, COMPARABLE, EPOCHS = 5, 2, 10
"""Claims: conv relu max - conv relu maxabs, superior by a point; scs none max - conv relu max, not inferior."""
FILE = load_claims()
Curve = Callable[[CellConfig, int], list[float | None] | None]
"""Accuracies of a cell's seed, None where that has not been run."""


def decided(runs: Path, number: int, curve: Curve, seeds: range = range(8), state: str = "done") -> Verdict:
    """What is decided by made-up runs of all cells of a claim, whose full schedule is a short one."""
    claim = FILE.claims[number - 1]
    claim = dataclasses.replace(claim, tests=tuple(dataclasses.replace(t, epochs=EPOCHS) for t in claim.tests))
    cells = {c.config.run_name: c.config for t in claim.tests for p in environments(FILE, t) for c in p.cells}
    for config in cells.values():
        for seed in seeds:
            if (accuracies := curve(config, seed)) is not None:
                diverged = accuracies[-1] is None and len(accuracies) < EPOCHS
                write_run(runs, dataclasses.replace(config, seed=seed), accuracies, "diverged" if diverged else state)
    (verdict,) = decide(dataclasses.replace(FILE, claims=(claim,)), Runs({runs: collect(runs)}), pd.DataFrame())
    return verdict


def flat(accuracy: float) -> list[float | None]:
    return [accuracy] * EPOCHS


def usual(config: CellConfig, seed: int, points: float = 15.0) -> float:
    """The accuracy with a planted difference; a pair's seeds share their level, and all differences are equal."""
    return 0.8 + random.Random(seed).gauss(0, 0.02) - (points / 100 if config.pooling == "maxabs" else 0)


@pytest.mark.parametrize("points", [0.0, 1.0, 15.0])
def test_ties_are_decided_without_a_variance(tmp_path: Path, points: float) -> None:
    """Equal differences, but for rounding: what is not above delta is not supported."""
    found = decided(tmp_path, DIP, lambda c, s: flat(usual(c, s, points)), range(6))
    assert found.word == {0.0: "not supported", 1.0: "undecided", 15.0: "supported"}[points]
    assert found.low == pytest.approx(points)
    assert found.high == pytest.approx(points)
    assert found.p == (points != 15)


def test_of_unequal_seeds_the_common_ones_count_and_those_alone_are_missing(tmp_path: Path) -> None:
    def first(config: CellConfig, seed: int) -> list[float | None] | None:
        return flat(usual(config, seed)) if seed < (4 if config.pooling == "maxabs" else 8) else None

    found = decided(tmp_path, DIP, first)
    assert (found.word, found.n) == ("preliminary: leans yes", 4)
    assert [(cell.config.pooling, seeds) for cell, seeds in found.parts[0].needed] == [("maxabs", (4, 5))]


@pytest.mark.parametrize("there", ["max", "maxabs"])
def test_where_no_seed_is_common_only_the_other_cell_is_missing(tmp_path: Path, there: str) -> None:
    found = decided(tmp_path, DIP, lambda c, s: flat(0.8) if c.pooling == there else None, range(6))
    assert found.word == "no runs yet"
    assert [seeds for _, seeds in found.parts[0].needed] == [tuple(range(6))]
    assert found.parts[0].needed[0][0].config.pooling != there


@pytest.mark.parametrize("unknown", [0, 7])
def test_a_seed_without_an_accuracy_hides_no_other_and_keeps_the_gate_shut(tmp_path: Path, unknown: int) -> None:
    def holes(config: CellConfig, seed: int) -> list[float | None]:
        known = flat(usual(config, seed))
        return [*known[:-1], None] if (seed, config.pooling) == (unknown, "maxabs") else known

    found = decided(tmp_path, DIP, holes)
    assert (found.word, found.n) == ("preliminary: leans yes", 7)
    assert unknown not in found.parts[0].seeds
    (sentence,) = found.parts[0].lacking
    assert f"-s{unknown}-" in sentence


def test_dead_seeds_of_one_side_stand_at_chance_and_are_counted(tmp_path: Path) -> None:
    def two_die(config: CellConfig, seed: int) -> list[float | None]:
        return [0.2, None] if seed < 2 and config.pooling == "maxabs" else flat(usual(config, seed, 1.0))

    found = decided(tmp_path, DIP, two_die, range(6))
    assert found.parts[0].dead == (0, 2)
    assert max(found.parts[0].found.values) > 60
    assert found.word == "undecided"


def test_networks_that_are_all_dead_are_not_called_comparable(tmp_path: Path) -> None:
    found = decided(tmp_path, COMPARABLE, lambda c, s: flat(0.1))
    assert (found.word, found.mean) == ("undecided", 0.0)
    assert "dead" in found.parts[0].found.notes[-1]
    alive = decided(tmp_path / "alive", COMPARABLE, lambda c, s: flat(0.5))
    assert alive.word == "supported"


def test_another_recipe_and_another_order_change_nothing(tmp_path: Path) -> None:
    seeds = list(range(6))
    for name, order in (("rising", seeds), ("mixed", [3, 5, 0, 4, 1, 2])):
        other = dataclasses.replace
        for seed in order:
            for pooling in ("maxabs", "max") if name == "mixed" else ("max", "maxabs"):
                config = next(c for c in dip_cells() if c.pooling == pooling)
                write_run(tmp_path / name, other(config, seed=seed), flat(usual(config, seed)))
                elsewhere = other(config, seed=seed, train=other(config.train, batch_size=64))
                write_run(tmp_path / name, elsewhere, flat(0.3))
    found = [decided(tmp_path / name, DIP, lambda c, s: None) for name in ("rising", "mixed")]
    assert [(each.word, each.mean, each.n) for each in found] == 2 * [("supported", pytest.approx(15.0), 6)]


def dip_cells() -> list[CellConfig]:
    test = dataclasses.replace(FILE.claims[DIP - 1].tests[0], epochs=EPOCHS)
    return [cell.config for place in environments(FILE, test) for cell in place.cells]


def test_a_slope_over_networks_of_one_size_is_not_drawn(tmp_path: Path) -> None:
    """As of records without a number of parameters."""
    found = decided(tmp_path, 35, lambda c, s: flat(0.5), range(6))
    assert found.word == "no runs yet"
    assert any("several sizes" in sentence for sentence in found.parts[0].lacking)


def test_a_run_with_a_setting_that_a_cell_lacks_is_another_cells(tmp_path: Path) -> None:
    """Mixed images are a key of the identity only where there are any; so are the channels of gray ones."""
    (place,) = environments(FILE, FILE.claims[DIP - 1].tests[0])
    plain = place.a[0].config
    mixed = dataclasses.replace(plain, train=dataclasses.replace(plain.train, mixup=0.8))
    write_run(tmp_path, mixed, flat(0.9), "done")
    assert Runs({tmp_path: collect(tmp_path)}).of(place.a[0]) == []
    write_run(tmp_path, plain, flat(0.8), "done")
    assert [row["run"] for row in Runs({tmp_path: collect(tmp_path)}).of(place.a[0])] == [plain.run_name]

    (mnist,) = environments(FILE, FILE.claims[37].tests[0])
    gray = tmp_path / "gray"
    write_run(gray, mnist.a[0].config, flat(0.99), "done")
    assert len(Runs({gray: collect(gray)}).of(mnist.a[0])) == 1
