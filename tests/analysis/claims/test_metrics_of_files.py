"""Verdicts on what attacks, saliency maps and the benchmark have left."""

import random

import numpy as np
import pandas as pd
import pytest
import torch

from scs_study.analysis.claims.missing import commands, missing
from scs_study.evaluation.saliency.settings import MapSettings
from scs_study.system.tensors import checksum, save_tensors
from tests.analysis.claims.planted_claims import EPOCHS, RELU, attack, judged, planted
from tests.analysis.run_folders import cell


def test_robust_accuracy_is_of_the_same_images_and_reads_each_first_successful_eps(tmp_path):
    planted(tmp_path, 6, 0.0)
    draw = random.Random(0)
    for seed in range(6):
        for activation, most in (("relu", 40), ("none", 80)):
            fooled = most + draw.randrange(5)
            first_eps = [0] * fooled + [1] * 10 + [-1] * (190 - fooled)
            folder = tmp_path / cell(seed=seed, activation=activation, train__epochs=EPOCHS).run_name
            attack(folder, first_eps, [True] * 200)
    at = judged(tmp_path, test={"metric": "pgd_accuracy", "eps": 1})
    assert at.word == "supported"
    assert at.mean == pytest.approx(20, abs=1.5)
    assert judged(tmp_path, test={"metric": "pgd_accuracy", "eps": 4}).word == "no runs yet"
    assert judged(tmp_path, test={"metric": "worst_accuracy", "eps": 1}).word == "supported"
    short = judged(
        tmp_path, test={"metric": "worst_accuracy", "eps": 1}, top={"attacks": {"square": 5000}, "images": 500}
    )
    assert short.word == "preliminary: leans yes"
    assert missing(short) == "500 images (there are 200); square with 5000 steps"
    assert any(line.startswith("make robustness") for line in commands(short))


@pytest.mark.parametrize(("restarts", "word"), [(1, "preliminary: leans yes"), (5, "supported")])
def test_restarts_count_in_the_budget_of_a_worst_case(tmp_path, restarts, word):
    planted(tmp_path, 6, 0.0)
    for seed in range(6):
        for activation, fooled in (("relu", 40), ("none", 80 + seed)):
            folder = tmp_path / cell(seed=seed, activation=activation, train__epochs=EPOCHS).run_name
            attack(folder, [0] * fooled + [-1] * (200 - fooled), [True] * 200, restarts)
    verdict = judged(tmp_path, test={"metric": "worst_accuracy", "eps": 1}, top={"attacks": {"pgd": 50}})
    assert verdict.word == word
    assert ("pgd with 50 steps (there are 10)" in missing(verdict)) == (restarts == 1)


def test_images_that_one_network_gets_wrong_do_not_count_in_what_is_kept(tmp_path):
    planted(tmp_path, 1, 0.0)
    folders = [tmp_path / cell(activation=a, train__epochs=EPOCHS).run_name for a in ("relu", "none")]
    attack(folders[0], [-1] * 50 + [0] * 50, [True] * 100)
    attack(folders[1], [-1] * 50 + [-1] * 50, [True] * 50 + [False] * 50)
    assert judged(tmp_path, test={"metric": "kept"}).mean == 0


def test_maps_are_compared_by_their_measures_under_common_settings(tmp_path):
    planted(tmp_path, 6, 0.0)
    draw = np.random.default_rng(0)
    for folder in tmp_path.iterdir():
        weights = {"w": torch.zeros(2)}
        save_tensors(folder / "weights.safetensors", weights, {"run": folder.name})
        gini = 0.5 + 0.1 * ("relu" in folder.name) + draw.normal(0, 0.01, 200)
        facts = {"format": 1, "run": folder.name, "weights": checksum(weights), "data": "7",
                 "maps": vars(MapSettings()), "top": 0.05, "seed": 0}  # fmt: skip
        for first in (0, 100):
            about = {"facts": {**facts, "first": first, "last": first + 100}, "notes": {}}
            tensors = {"gini": torch.from_numpy(gini[first : first + 100])}
            save_tensors(folder / "saliency" / f"measures-{first:012d}.safetensors", tensors, about)
    verdict = judged(tmp_path, test={"metric": "gini"})
    assert verdict.word == "supported"
    assert verdict.mean == pytest.approx(0.1, abs=0.005)
    assert judged(tmp_path, test={"metric": "insertion"}).word == "no runs yet"


def bench_rows(conv: float, scs: float, device: str) -> pd.DataFrame:
    rows = []
    for variant, ms in (("conv + relu + max", conv), ("scs + maxabs", scs)):
        both = {
            f"{what}_{name}": ms * f
            for what in ("train", "eval")
            for name, f in (("ms", 1), ("low", 0.95), ("high", 1.05))
        }
        rows.append({"architecture": "rohrer25k", "pixels": 32, "variant": variant, "engine": "eager",
                     "layout": "nhwc", "batch": 128, "device": device, **both})  # fmt: skip
    return pd.DataFrame(rows)


def test_a_claim_about_speed_is_decided_by_the_benchmark_and_by_device(tmp_path):
    entry = {"gated": False, "n": 1, "test": {"metric": "train_time", "rule": "superior", "epochs": None,
             "bench": {"a": "scs + maxabs", "b": "conv + relu + max"}}}  # fmt: skip
    slow, fast = bench_rows(10, 20, "cpu"), bench_rows(10, 5, "gpu")
    assert judged(tmp_path, slow, **entry).word == "supported"
    assert judged(tmp_path, fast, **entry).word == "not supported"
    assert judged(tmp_path, pd.concat([slow, fast]), **entry).word == "depends on the device"
    assert judged(tmp_path, **entry).word == "no runs yet"


def test_a_verdict_about_speed_says_in_which_networks_it_holds_and_each_test_is_held_to_its_own_share(tmp_path):
    """Four of five environments are mostly all; but not where the one is all that another test has."""
    names = [f"rohrer{size}k" for size in (25, 47, 68, 100, 583)]
    rows = pd.concat([bench_rows(10, 20, "cpu").assign(architecture=name) for name in names])
    close = bench_rows(10, 10.2, "cpu").assign(architecture=names[4])
    fast = bench_rows(10, 5, "cpu").assign(architecture=names[4])
    test = {"metric": "train_time", "rule": "superior", "a": RELU, "b": RELU,
            "bench": {"a": "scs + maxabs", "b": "conv + relu + max"}}  # fmt: skip
    places = [{"arch": name} for name in names]
    entry = {"gated": False, "n": 1, "overall": "mostly"}
    four = pd.concat([rows[rows["architecture"] != names[4]], close])
    found = judged(tmp_path, four, tests=[{**test, "where": places}], **entry)
    assert found.word == "supported"
    held = ", ".join(names[:4])
    assert found.notes[0] == f"cpu, eager: supported (yes in 4 ({held}), undecided in 1 (rohrer583k))"
    split = [{**test, "where": places[:4]}, {**test, "where": places[4:]}]
    assert judged(tmp_path, four, tests=split, **entry).word == "undecided"
    against = pd.concat([rows[rows["architecture"] != names[4]], fast])
    refuted = judged(tmp_path, against, tests=[{**test, "where": places}], **entry)
    assert refuted.word == "not supported"
    assert "no in 1 (rohrer583k)" in refuted.notes[0]
