"""Simulated studies of known truth through all of `make claims`: real cells, run folders, the command, its tables."""

from __future__ import annotations

import dataclasses
import functools
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from scs_study.analysis.claims.cells import Runs, environments
from scs_study.analysis.claims.decide import decide
from scs_study.analysis.claims.load import load_claims
from scs_study.analysis.claims.schema import ClaimFile
from scs_study.analysis.collect import collect
from scs_study.config.schema import CellConfig
from tests.analysis.run_folders import write_run
from tests.support import commands

SEED_SD, PAIR_SD = 0.02, 0.006
"""Standard deviations of a seed, which both networks of a pair share, and of what is each one's own."""
DIP, IDENTITY, DECAY = 5, 7, 31
Truth = Callable[[CellConfig], float]
"""The mean accuracy of a cell."""


@functools.cache
def cells_of(claim: int) -> dict[str, CellConfig]:
    """The cells that a claim is about, by run name."""
    file = load_claims()
    return {
        cell.config.run_name: cell.config
        for test in file.claims[claim - 1].tests
        for place in environments(file, test)
        for cell in place.cells
    }


def simulate(runs: Path, claim: int, truth: Truth, seeds: int, epochs: int | None = None, draw: int = 0) -> None:
    """Finished runs of every cell of a claim: epochs of noise around their end, which has the truth in it."""
    cells = cells_of(claim)
    common, own = random.Random(f"{draw} seeds"), random.Random(f"{draw} cells")
    levels = [common.gauss(0, SEED_SD) for _ in range(seeds)]
    for config in cells.values():
        length = epochs or config.train.epochs
        for seed in range(seeds):
            end = truth(config) + levels[seed] + own.gauss(0, PAIR_SD)
            curve = [0.1 + (end - 0.1) * (k + 1) / length for k in range(length - 10)] + [end] * 10
            planned = dataclasses.replace(config, seed=seed, train=dataclasses.replace(config.train, epochs=length))
            write_run(runs, planned, [*curve])


def verdicts(runs: Path, results: Path, *only: int) -> pd.DataFrame:
    """What `make claims` writes, by number of the claim."""
    chosen = f"only=[{','.join(map(str, only))}]"
    done = commands.run("claims.py", f"runs={runs}", f"results={results}", chosen)
    assert done.returncode == 0, done.stderr
    return pd.read_csv(results / "claims" / "tables" / "claims.csv").set_index("id")


def dip(points: float) -> Truth:
    return lambda cell: 0.8 - (points / 100 if cell.pooling == "maxabs" else 0)


def decay(points: float) -> Truth:
    return lambda cell: 0.8 - (points / 100 if cell.train.weight_decay else 0)


@pytest.mark.slow
def test_a_planted_difference_and_a_planted_equality_are_found_and_their_contraries_refuted(tmp_path: Path) -> None:
    truths: Mapping[str, tuple[float, float]] = {"as planted": (15, 0), "contrary": (0, 3)}
    words = {}
    for name, (difference, of_decay) in truths.items():
        runs = tmp_path / name / "runs"
        simulate(runs, DIP, dip(difference), seeds=6)
        simulate(runs, DECAY, decay(of_decay), seeds=8)
        found = verdicts(runs, tmp_path / name, DIP, DECAY)
        words[name] = found["verdict"].to_dict()
        assert found.loc[DIP, "low"] < difference < found.loc[DIP, "high"]
        assert found["n"].to_dict() == {DIP: 6, DECAY: 8}
        assert found["missing"].isna().all()
    assert words["as planted"] == {DIP: "supported", DECAY: "supported"}
    assert words["contrary"] == {DIP: "not supported", DECAY: "not supported"}


@pytest.mark.slow
def test_the_same_difference_on_fewer_seeds_or_epochs_is_a_leaning_with_the_runs_that_it_lacks(tmp_path: Path) -> None:
    few, short = tmp_path / "few", tmp_path / "short"
    simulate(few / "runs", DIP, dip(15), seeds=3)
    simulate(short / "runs", DIP, dip(15), seeds=6, epochs=50)
    for folder, runs in ((few, 6), (short, 12)):
        found = verdicts(folder / "runs", folder, DIP)
        assert found.loc[DIP, "verdict"] == "preliminary: leans yes"
        assert found.loc[DIP, "missing"].startswith(f"{runs} runs of 800 epochs")
        assert found.loc[DIP, "command"].startswith("python scripts/train.py -m ")


@pytest.mark.slow
def test_a_planted_identity_needs_one_epoch_and_one_other_loss_refutes_it(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    simulate(runs, IDENTITY, lambda cell: 0.4, seeds=1, epochs=11)
    for folder in runs.glob("*-maxabs-*"):
        (other,) = runs.glob(f"{folder.name.rpartition('-')[0].replace('-maxabs-', '-max-')}-*")
        shutil.copy(other / "history.jsonl", folder / "history.jsonl")
    assert verdicts(runs, tmp_path, IDENTITY).loc[IDENTITY, "verdict"] == "supported"
    history = next(runs.glob("resnet18-scs-*-maxabs-*")) / "history.jsonl"
    history.write_text(history.read_text().replace('"test_loss": 1.0', '"test_loss": 1.0000000000000002', 1))
    found = verdicts(runs, tmp_path, IDENTITY)
    assert found.loc[IDENTITY, "verdict"] == "not supported"


@pytest.mark.slow
@pytest.mark.parametrize(("points", "least", "most"), [(1, 0, 2), (4, 23, 25)])
def test_over_many_studies_a_truth_is_found_and_none_is_made_up(
    tmp_path: Path, points: float, least: int, most: int
) -> None:
    """Of 25 studies: of delta itself 2.5 % are supported by chance, of 4 points nearly all."""
    file = load_claims()
    claim = file.claims[DIP - 1]
    short = dataclasses.replace(claim, tests=tuple(dataclasses.replace(test, epochs=60) for test in claim.tests))
    one: ClaimFile = dataclasses.replace(file, claims=(short,))
    supported = 0
    for number in range(25):
        runs = tmp_path / str(number)
        simulate(runs, DIP, dip(points), seeds=6, epochs=60, draw=number)
        (verdict,) = decide(one, Runs({runs: collect(runs)}), pd.DataFrame())
        assert verdict.decided
        supported += verdict.word == "supported"
    assert least <= supported <= most
