"""Verdicts on real run folders with a planted truth: a difference, an identity, dead seeds, few seeds, a choice."""

import json
import math
import random

import numpy as np
import pandas as pd
import pytest

from scs_study.analysis.claims.cells import Runs
from scs_study.analysis.claims.decide import decide
from scs_study.analysis.claims.load import claim_file
from scs_study.analysis.claims.missing import commands, missing
from scs_study.analysis.claims.table import comparison_frame
from scs_study.analysis.collect import collect
from scs_study.system import files
from tests.analysis.claims.planted_claims import EPOCHS, MARGINS, NONE, RELU, judged, planted, write
from tests.analysis.run_folders import cell, write_run


def test_a_planted_difference_is_supported(tmp_path):
    planted(tmp_path, 6, 0.05)
    verdict = judged(tmp_path)
    assert verdict.word == "supported"
    assert verdict.mean == pytest.approx(5, abs=0.6)
    assert verdict.low < verdict.mean < verdict.high
    assert verdict.p < 0.001
    assert verdict.n == 6
    assert missing(verdict) == ""
    assert commands(verdict) == []
    (part,) = verdict.parts
    assert part.found.flip_p == 2 / 2**6
    assert len(part.runs) == 12
    assert all((tmp_path / name).is_dir() for name in part.runs)


def test_none_is_not_supported_and_a_small_one_is_superior_but_not_by_delta(tmp_path):
    planted(tmp_path, 6, 0.004, sd=0.001)
    assert judged(tmp_path).word == "not supported"
    assert judged(tmp_path, test={"rule": "superior"}).word == "supported"
    assert judged(tmp_path, test={"rule": "equivalent"}).word == "supported"
    assert judged(tmp_path, test={"rule": "noninferior"}).word == "supported"
    assert judged(tmp_path, test={"rule": "at_most", "bound": 1.0, "why": "w"}).word == "supported"
    assert judged(tmp_path, test={"rule": "equivalent", "bounds": [3, 4], "why": "w"}).word == "not supported"


def test_a_noisy_difference_of_the_margins_size_is_undecided(tmp_path):
    planted(tmp_path, 6, 0.01, sd=0.02)
    assert judged(tmp_path).word == "undecided"


@pytest.mark.parametrize(("seeds", "interval"), [(1, False), (2, False), (3, True)])
def test_below_the_number_of_seeds_a_verdict_is_preliminary_and_says_what_is_missing(tmp_path, seeds, interval):
    planted(tmp_path, seeds, 0.05)
    verdict = judged(tmp_path)
    assert verdict.word == "preliminary: leans yes"
    assert not verdict.decided
    assert math.isnan(verdict.low) != interval
    assert f"{2 * (6 - seeds)} runs of {EPOCHS} epochs" in missing(verdict)
    (command,) = commands(verdict)
    assert f"seed={','.join(map(str, range(seeds, 6)))}" in command
    assert "activation=relu,none" in command
    assert f"train.epochs={EPOCHS}" in command


def test_a_shorter_schedule_is_preliminary_however_many_seeds(tmp_path):
    planted(tmp_path, 6, 0.05, epochs=20)
    verdict = judged(tmp_path)
    assert verdict.word == "preliminary: leans yes"
    assert {part.epochs for part in verdict.parts} == {20}
    planted(tmp_path, 1, -0.05)
    assert judged(tmp_path).word == "preliminary: leans no", "one pair of the full schedule comes first"


def test_without_runs_it_says_so_and_what_would_produce_them(tmp_path):
    verdict = judged(tmp_path)
    assert verdict.word == "no runs yet"
    assert "12 runs" in missing(verdict)
    assert len(commands(verdict)) == 1


def test_runs_of_another_recipe_stand_for_no_cell(tmp_path):
    planted(tmp_path, 6, 0.05, train__max_lr=0.02)
    planted(tmp_path, 6, 0.05, init="uniform")
    assert judged(tmp_path).word == "no runs yet"


def test_unfinished_runs_are_not_looked_at(tmp_path):
    write(tmp_path, {0: 0.8}, state="running")
    write(tmp_path, {0: 0.7}, activation="none")
    assert judged(tmp_path).word == "no runs yet"


def test_devices_are_not_mixed(tmp_path):
    for seed in range(6):
        for activation, device in (("relu", "NVIDIA H100"), ("none", "cpu, 1 threads")):
            planned = cell(seed=seed, activation=activation, train__epochs=EPOCHS)
            write_run(tmp_path, planned, [0.7] * EPOCHS, device=device)
    assert judged(tmp_path).word == "no runs yet"


def test_dead_seeds_are_in_the_difference_at_chance_and_are_counted(tmp_path):
    planted(tmp_path, 4, 0.05)
    write(tmp_path, {4: 0.8, 5: 0.8})
    write(tmp_path, {4: 0.1}, activation="none")
    write_run(tmp_path, cell(activation="none", seed=5, train__epochs=EPOCHS), [0.3, None], state="diverged")
    (part,) = judged(tmp_path).parts
    assert part.dead == (0, 2)
    assert part.found.values[-2:] == pytest.approx((70, 70))


@pytest.mark.parametrize(("alive", "word"), [(0, "supported"), (1, "not supported")])
def test_all_dead_means_all(tmp_path, alive, word):
    write(tmp_path, {seed: 0.7 if seed < alive else 0.1 for seed in range(6)})
    verdict = judged(tmp_path, test={"rule": "dead", "b": []})
    assert verdict.word == word
    assert 0 <= verdict.low <= verdict.mean <= verdict.high <= 100


def test_a_planted_identity_is_decided_by_one_epoch_and_one_bit_refutes_it(tmp_path):
    for pooling in ("max", "maxabs"):
        write_run(tmp_path, cell(pooling=pooling, train__epochs=1), [0.4], layers=2)
    layers = [tmp_path / cell(pooling=p, train__epochs=1).run_name / "layers.jsonl" for p in ("max", "maxabs")]
    layers[1].write_bytes(layers[0].read_bytes())
    entry = {"test": {"metric": "bits", "rule": "identity", "a": RELU, "b": {**RELU, "pooling": "maxabs"}},
             "gated": False, "n": 1}  # fmt: skip
    assert judged(tmp_path, **entry).word == "supported"
    lines = [json.loads(line) for line in layers[1].read_text().splitlines()]
    norm = lines[0]["layers"]["layer1.conv"]["weight_norm"]
    lines[0]["layers"]["layer1.conv"]["weight_norm"] = float(np.nextafter(norm, 10))
    layers[1].write_text("".join(json.dumps(line) + "\n" for line in lines))
    refuted = judged(tmp_path, **entry)
    assert refuted.word == "not supported"
    assert "layers.jsonl differs" in comparison_frame([refuted])["notes"][0]


def test_a_choice_that_turns_the_verdict_is_named(tmp_path):
    planted(tmp_path, 6, 0.05)
    planted(tmp_path, 6, -0.05, init="uniform")
    assert judged(tmp_path).word == "supported"
    assert judged(tmp_path, choices=["init"]).word == "depends on init"


def test_a_choice_that_only_leans_the_other_way_is_a_note(tmp_path):
    planted(tmp_path, 6, 0.05)
    planted(tmp_path, 1, -0.05, init="uniform")
    verdict = judged(tmp_path, choices=["init"])
    assert verdict.word == "supported"
    assert verdict.notes == ("with uniform weights it leans the other way",)


def test_always_needs_every_environment_and_one_against_it_decides(tmp_path):
    planted(tmp_path, 6, 0.05)
    assert judged(tmp_path, test={"where": ["two"]}).word == "preliminary: leans yes"
    planted(tmp_path, 6, -0.05, arch="rohrer47k")
    assert judged(tmp_path, test={"where": ["two"]}).word == "not supported"


def test_a_verdict_says_where_it_holds_and_where_not(tmp_path):
    planted(tmp_path, 6, 0.05)
    planted(tmp_path, 6, -0.05, arch="rohrer47k")
    assert judged(tmp_path, test={"where": ["two"]}).notes == ("yes in 1 (rohrer25k), no in 1 (rohrer47k)",)
    assert judged(tmp_path).notes == ()
    tests = [{"metric": "accuracy", "rule": rule, "where": ["here"], "a": RELU, "b": NONE, "epochs": EPOCHS}
             for rule in ("superior_by", "equivalent")]  # fmt: skip
    assert judged(tmp_path, tests=tests).notes == ("accuracy, test 1: yes; accuracy, test 2: no",)


def test_one_environment_against_it_decides_before_the_others_have_run(tmp_path):
    planted(tmp_path, 6, -0.05)
    verdict = judged(tmp_path, test={"where": ["two"]})
    assert verdict.word == "not supported"
    assert verdict.decided


def test_what_holds_in_some_environment_must_hold_again_on_fresh_seeds(tmp_path):
    planted(tmp_path, 6, 0.05)
    entry = {"overall": "some", "fresh": [20, 21, 22], "test": {"where": ["two"]}}
    first = judged(tmp_path, **entry)
    assert first.word == "preliminary: leans yes"
    assert "seed=20,21,22" in " ".join(commands(first))
    draw = random.Random(1)
    write(tmp_path, {seed: 0.75 + draw.gauss(0, 0.003) for seed in (20, 21, 22)})
    write(tmp_path, dict.fromkeys((20, 21, 22), 0.7), activation="none")
    again = judged(tmp_path, **entry)
    assert again.word == "supported"
    assert again.parts[0].seeds == (0, 1, 2, 3, 4, 5), "the fresh seeds judge nothing but the repetition"


def test_holm_holds_a_family_to_account(tmp_path):
    draw = random.Random(3)
    write(tmp_path, {seed: 0.7 + 0.008 + draw.gauss(0, 0.0075) for seed in range(6)})
    write(tmp_path, dict.fromkeys(range(6), 0.7), activation="none")
    test = {"rule": "superior"}
    alone = judged(tmp_path, test=test, family="G")
    assert alone.word == "supported"
    assert 0.01 < alone.p < 0.05
    many = [
        {"id": k, "name": f"c{k}", "source": "paper", "section": "1", "sentence": "It holds.", "paper": "so",
         "overall": "always", "n": 6, "family": "G",
         "tests": [{"metric": "accuracy", "rule": "superior", "where": ["here"], "epochs": EPOCHS,
                    "a": RELU if k == 1 else {**RELU, "layer": "scs"}, "b": NONE}]}
        for k in range(1, 6)
    ]  # fmt: skip
    values = {
        "title": "A paper", "base": {"data": "digits", "data.flip": True, "train": "paper"},
        "chance": 10.0, "margins": MARGINS,
        "images": 100, "attacks": {"pgd": 10}, "families": {"G": "all"}, "claims": many, "choices": {},
        "environments": {"here": [{"arch": "rohrer25k"}]},
    }  # fmt: skip
    first = decide(claim_file(values), Runs({tmp_path: collect(tmp_path)}), pd.DataFrame())[0]
    assert first.word == "undecided"
    assert first.p_holm == pytest.approx(5 * first.p)


def test_an_interaction_is_four_cells(tmp_path):
    planted(tmp_path, 6, 0.05)
    planted(tmp_path, 6, 0.01, layer="scs")
    both = {"activation": "relu", "pooling": "max"}, {"activation": "none", "pooling": "max"}
    test = {
        "a": [{"layer": "conv", **both[0]}, {"layer": "scs", **both[1]}],
        "b": [{"layer": "conv", **both[1]}, {"layer": "scs", **both[0]}],
    }
    verdict = judged(tmp_path, test=test)
    assert verdict.mean == pytest.approx(4, abs=0.8)
    assert verdict.word == "supported"


@pytest.mark.parametrize(("per_decade", "word"), [(-3.0, "supported"), (3.0, "not supported")])
def test_a_slope_over_sizes(tmp_path, per_decade, word):
    sizes = {"rohrer25k": 25_000, "rohrer47k": 47_000, "rohrer68k": 68_000, "rohrer583k": 583_000}
    draw = random.Random(0)
    for arch, size in sizes.items():
        gain = (5 + per_decade * math.log10(size / 25_000)) / 100
        write(tmp_path, {s: 0.7 + gain + draw.gauss(0, 0.004) for s in range(6)}, arch=arch)
        write(tmp_path, dict.fromkeys(range(6), 0.7), activation="none", arch=arch)
        for folder in tmp_path.glob(f"{arch}-*"):
            result = files.read_json(folder / "result.json")
            files.write_json(folder / "result.json", {**result, "parameters": size})
    verdict = judged(tmp_path, test={"rule": "slope", "where": [{"arch": arch} for arch in sizes]})
    assert verdict.word == word
    assert verdict.mean == pytest.approx(per_decade, abs=1)


@pytest.mark.parametrize(("starts", "word"), [(0.7, "supported"), (2.5, "not supported")])
def test_a_plateau_over_p(tmp_path, starts, word):
    grid, draw = [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0], random.Random(0)
    for p in grid:
        level = 0.8 - 0.2 * max(0.0, math.log(starts / p))
        ends = {s: level + draw.gauss(0, 0.005) for s in range(3)}
        write(tmp_path, ends, layer="scs", activation="none", pooling="maxabs", layer__p=p, layer__p_init=None)
    test = {"rule": "plateau", "bound": 1.25, "delta": 2.0, "why": "w", "across": {"a.layer.p": grid}, "b": [],
            "a": {"layer": "scs", "activation": "none", "pooling": "maxabs", "layer.p_init": None}}  # fmt: skip
    verdict = judged(tmp_path, test=test, n=3)
    assert verdict.word == word
    assert verdict.mean == pytest.approx(starts, rel=0.35)
