import dataclasses
import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from scs_study.config.schema import cell_from_dict
from scs_study.experiments.compose import CONF, options
from scs_study.experiments.sweep.dimension import rounded
from scs_study.experiments.sweep.settings import sweep_from, sweep_of
from tests.experiments.sweep.sweeps import sweep


@given(st.floats(0.01, 100))
def test_a_rounded_p_is_within_half_a_percent_and_stays_what_it_is(p):
    assert abs(rounded(p) / p - 1) <= 0.005001
    assert rounded(rounded(p)) == rounded(p)


@given(st.floats(0.1, 10))
def test_rounding_never_leaves_the_range(p):
    assert 0.1 <= rounded(p) <= 10


def test_draws_a_hair_apart_are_one_run_and_its_name_can_be_typed():
    made = sweep()
    cells = [made.cell({"p": made.line.value(p)}, 0) for p in (1.2345678901, 1.2345678902, 1.23)]
    assert len({cell.run_name for cell in cells}) == 1
    assert cells[0].layer.p == 1.23
    assert cells[0].layer.p_init is None


def test_a_trial_is_the_run_that_a_study_would_name_the_same():
    cell = sweep(overrides={"train.epochs": 9, "data.flip": True}).cell({"p": 0.5}, 3)
    assert cell_from_dict(cell.identity()).run_name == cell.run_name
    assert (cell.train.epochs, cell.data.flip, cell.seed, cell.layer.name) == (9, True, 3, "scs")


def test_a_sweep_of_runs_without_an_accuracy_is_refused():
    pair = {"arch": "scs_gan", "layer": "rohrer_may2022", "data": "mnist_64", "objective": "adversarial"}
    with pytest.raises(ValueError, match="objective=adversarial: a sweep compares accuracies"):
        sweep(overrides=pair).cell({"p": 1.0}, 0)


@pytest.mark.parametrize("name", options("sweep"))
def test_every_sweep_of_the_project_can_start(name):
    made = sweep(name)
    assert made.total > 1
    assert {cell.seed for cell in made.cells} == {made.seeds[0]}


@pytest.mark.parametrize("name", ["quick", "cifar10_short", "resnet18", "rohrer100k"])
def test_the_sweeps_over_p_are_of_fixed_p_scs_layers(name):
    cell = sweep(name).cell({"p": 2.0}, 0)
    assert (cell.layer.name, cell.layer.p, cell.layer.p_init) == ("scs", 2.0, None)


@pytest.mark.parametrize("name", ["mnist_small", "mnist_small_conv"])
def test_the_small_networks_are_chosen_without_a_look_at_the_test_images(name):
    made = sweep(name)
    assert made.judged_by == "held-out training"
    assert made.objectives == ("accuracy", "parameters")


def test_an_own_sweep_needs_a_space_and_names_what_no_sweep_has():
    config = OmegaConf.create({"base": {"data": "digits"}, "set": {"train.epochs": 1}})
    with pytest.raises(ValueError, match=r"^sweep\.space=None: must name what varies"):
        sweep_of("mine", config, {})
    config["space"] = {"train.max_lr": "log 0.01..0.1"}
    assert sweep_of("mine", config, {}).title == "mine"
    config["trails"] = 3
    with pytest.raises(ValueError, match=r"^sweep\.trails: no such setting \(did you mean sweep\.trials\?\)"):
        sweep_of("mine", config, {})


def test_a_file_from_before_the_space_is_the_sweep_it_was():
    config = OmegaConf.load(CONF / "sweep" / "quick.yaml")
    old = OmegaConf.merge(config, {"space": None, "low": 0.1, "high": 10.0})
    assert sweep_of("quick", old, {}) == sweep("quick")


def test_the_papers_sweep_is_the_papers():
    cell = sweep("rohrer100k").cell({"p": 1.0}, 0)
    assert (cell.arch, cell.train.epochs, cell.data.name) == ("rohrer100k", 600, "cifar10")
    assert (cell.activation, cell.pooling) == ("none", "maxabs")


def test_a_grid_is_every_p_with_every_seed_evenly_spaced_in_log_p():
    made = sweep(sampler="grid", points=5, seeds=[0, 7], low=0.1, high=10.0)
    values = [0.1, 0.316, 1.0, 3.16, 10.0]
    assert list(made.grid) == [({"p": p}, seed) for seed in (0, 7) for p in values]
    assert made.total == 10
    steps = [math.log(b / a) for a, b in itertools.pairwise(values)]
    assert max(steps) - min(steps) < 0.01


def test_tpe_has_as_many_trials_as_it_is_given():
    assert sweep(trials=31).total == 31


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sampler": "gp"}, "sweep.sampler=gp: not known.*tpe, grid"),
        ({"pruner": "medium"}, "did you mean median"),
        ({"trials": 0}, "sweep.trials=0: must be at least 1"),
        ({"low": 0.12345}, "3 significant digits; write 0.123"),
        ({"low": 2, "high": 1}, "log 2..1: an empty range"),
        ({"low": -1}, "log -1..10.0: a logarithm needs numbers above 0"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"seeds": []}, "different whole numbers"),
        ({"sampler": "grid", "points": 500, "low": 1.0, "high": 1.1}, "would be the same p"),
        ({"warmup": 7}, "more than the 6 epochs"),
        ({"low": "a"}, "sweep.low=a: must be a number"),
        ({"pruner": "median", "objectives": ["accuracy", "parameters"]}, "say sweep.pruner=none"),
        ({"objectives": ["parameters"]}, r"must be \[accuracy\], or"),
        ({"objectives": ["accuracy", "seconds"]}, "sweep.objectives=seconds: not known"),
    ],
)
def test_a_setting_out_of_range_is_refused_in_one_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        sweep(**change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"layer.p": 2.0}, "the sweep varies layer.p"),
        ({"layer.p_init": [1, 2]}, "the sweep varies layer.p"),
        ({"layer": "conv"}, "no exponent"),
        ({"arch": "resnet19000"}, "arch=resnet19000: not known"),
        ({"train.epoch": 2}, "train.epoch: no such setting"),
    ],
)
def test_a_cell_that_cannot_be_swept_is_refused_in_one_sentence(overrides, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        sweep(overrides=overrides)
    assert "\n" not in str(caught.value)


def test_a_seed_on_the_command_line_is_the_only_one():
    assert sweep(overrides={"seed": 4}, seeds=[0, 1]).seeds == (4,)


def test_workers_must_agree_on_all_that_changes_a_trial_and_on_nothing_else():
    base = sweep().shared()
    for change in ({"pruner": "hyperband"}, {"warmup": 3}, {"sampler": "grid"}, {"low": 0.2}, {"report_every": 2}):
        assert sweep(**change).shared() != base, change
    for overrides in ({"train.epochs": 7}, {"activation": "relu"}, {"seed": 1}):
        assert sweep(overrides=overrides).shared() != base, overrides
    for change in ({"trials": 99}, {"margin": 0.05}, {"title": "another"}, {"points": 4}):  # points: TPE has no grid
        assert sweep(**change).shared() == base, change


@pytest.mark.parametrize("name", options("sweep"))
def test_a_sweep_that_travels_as_json_to_a_cluster_is_the_same(name):
    made = sweep(name)
    assert sweep_from(json.loads(json.dumps(dataclasses.asdict(made)))) == made
