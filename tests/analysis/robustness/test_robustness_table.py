"""The table that readers see, against golden files, and mistakes in settings, a sentence each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scs_study.analysis.robustness.results import AttackResult
from scs_study.analysis.robustness.table import robustness_table, seeds_table
from scs_study.analysis.statistics.summary import interval
from scs_study.evaluation.robustness.evaluate import NEVER
from scs_study.evaluation.robustness.settings import Robustness, robustness_of
from scs_study.experiments.compose import load_option, options

GOLDEN = Path(__file__).parent / "golden"


def settings(**changed: Any) -> Robustness:
    return robustness_of({**load_option("attack", "pgd"), **changed})


def run(layer: str, right: int, pgd: list[int], square: list[int] | None, zero: int, seed: int = 0) -> AttackResult:
    """40 images of which the first `right` are right; pgd, square: how many of them fell at each radius."""

    def fell(counts: list[int]) -> np.ndarray:
        indices = [index for index, count in enumerate(counts) for _ in range(count)]
        return np.array([*indices, *[NEVER] * (40 - len(indices))])

    row = {"run": f"{layer}-{seed}", "architecture": "rohrer25k", "layer": layer, "pooling": "max", "norm": "none",
           "activation": "relu" if layer == "conv" else "none", "image_size": 32, "init": "conv2d",
           "seed": seed, "data": "digits", "epochs": 3}  # fmt: skip
    checks = {"square": None if square is None else np.roll(fell(square), 20), "transfer": fell([0, 0])}
    gone = np.where(np.arange(40) < zero, 0, NEVER)
    return AttackResult(row, np.arange(40) < right, fell(pgd), checks, gone, "conv-0", 123.456)


def test_the_table_is_the_golden_one(tmp_path: Path) -> None:
    which = settings(eps=[0, 1, 4], check_eps=[1, 4], checks=["square", "transfer"], check_images=None)
    runs = [run("conv", 36, [10, 20], [0, 2], 0), run("scs", 30, [4, 6], [5, 5], 8), run("sdp", 20, [2, 3], None, 0)]
    for path in robustness_table(runs, which, (), tmp_path, "robustness"):
        golden = GOLDEN / path.name
        assert path.read_text() == golden.read_text(), (
            f"{path.name} is another one; compare, and copy it if it is right"
        )


def test_a_planted_difference_stands_in_the_table_of_seeds_with_the_wider_interval(tmp_path: Path) -> None:
    """SCS keeps ten images of forty more, give or take one; a seed without its convolution is in no difference."""
    which = settings(eps=[0, 1], check_eps=[1], checks=["square", "transfer"], check_images=None)
    convolutions = [run("conv", 40, [20 + seed % 2], [0, 0], 0, seed) for seed in range(5)]
    ours = [run("scs", 40, [10 - seed % 2], [0, 0], 0, seed) for seed in range(6)]
    paths = seeds_table([convolutions, ours], which, (), tmp_path, "robustness-seeds")
    frame = pd.read_csv(next(path for path in paths if path.suffix == ".csv"))
    assert frame["measure"].tolist() == ["pgd", "pgd", "worst", "worst"]
    assert frame["to_baseline"].isna().tolist() == [True, False, True, False]
    mean, low, high, pairs = frame.loc[1, ["to_baseline", "to_baseline_low", "to_baseline_high", "pairs"]]
    assert mean == pytest.approx(100 * (5 * 10 + 4) / (5 * 40))
    assert pairs == 5
    assert 10 < low < mean < high < 45
    by_seed = interval([25, 30, 25, 30, 25])
    assert low < by_seed[0], "forty images say less than the five seeds agree"
    assert high > by_seed[1]
    assert seeds_table([convolutions[:1], ours[:1]], which, (), tmp_path, "one") == ()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"eps": [1, 2]}, "attack.eps=1, 2: must begin with 0, the accuracy without an attack"),
        ({"eps": [0, 4, 2]}, "attack.eps=0, 4, 2: must increase"),
        ({"eps": 3}, "attack.eps=3: must be a list"),
        (
            {"eps": [0, 0.0314]},
            "attack.eps=0, 0.0314: radii are in 255ths of a pixel's range; 0.0314 of the ",
        ),
        ({"eps": [0, 0.1, 0.2, 0.3]}, "attack.eps=0, 0.1, 0.2, 0.3: radii are in 255ths .* is written 76.5"),
        ({"eps": [0, "1"]}, "attack.eps=1: must be a number of at least 0 and at most 255"),
        ({"check_eps": [3]}, r"attack.check_eps=3: must be among the radii above 0 of attack.eps \(0, 1, 2, 4, 6, 8\)"),
        ({"check_eps": []}, r"attack.check_eps=\[\]: the attacks of attack.checks need a radius"),
        ({"checks": ["sqare"]}, r"attack.checks=sqare: not known \(did you mean square\?\)"),
        ({"steps": 0}, "attack.steps=0: must be at least 1"),
        ({"restarts": 2, "random_start": False}, "attack.restarts=2 has no effect with attack.random_start=false"),
        ({"images": 100}, "attack.check_images=1000: must be at most attack.images=100"),
        ({"margin": -1}, "attack.margin=-1: must be a number of at least 0"),
        ({"random_start": 1}, "attack.random_start=1: must be true or false"),
    ],
)
def test_wrong_settings_are_one_sentence(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        settings(**changed)


def test_every_choice_of_attack_can_be_used() -> None:
    for name in options("attack"):
        assert robustness_of(load_option("attack", name)).eps[0] == 0
    fine = robustness_of(load_option("attack", "fine")).eps
    assert np.allclose(np.diff(np.array(fine) / 255), 0.01)


def test_an_own_file_of_settings_names_what_it_lacks() -> None:
    values = load_option("attack", "pgd")
    del values["seed"]
    with pytest.raises(ValueError, match=r"attack\.seed: not set"):
        robustness_of(values)
    with pytest.raises(ValueError, match=r"attack\.sedd: no such setting \(did you mean attack\.seed\?\)"):
        robustness_of({**values, "sedd": 0})
