"""Spaces in which a setting varies with some choice alone, and in which choices bring settings with them."""

import csv
import dataclasses
import json

import optuna
import pytest

from scs_study.analysis.sweep.figures import slices_figure
from scs_study.analysis.sweep.findings import front, importances
from scs_study.analysis.sweep.rows import rows_of
from scs_study.analysis.sweep.tables import caption, to_csv, to_markdown
from scs_study.experiments.sweep import settings
from scs_study.experiments.sweep.sampler import draw, drawn, queued
from scs_study.experiments.sweep.scheduler import TrialScheduler
from scs_study.experiments.sweep.settings import sweep_from
from scs_study.experiments.sweep.space import dimensions_of
from scs_study.experiments.sweep.storage import join
from tests.experiments.sweep.sweeps import sweep, write_run

pytestmark = pytest.mark.usefixtures("quiet_optuna")

LAYERS = {
    "layer": {
        "conv": {"activation": "relu", "pooling": "max"},
        "scs": {"layer.p_init": [[1, 1], [1, 3]], "layer.w_max": [None]},
    },
    "train.max_lr": "log 0.001..0.1",
}
DEEP = {
    "layer": {
        "conv": {"train.max_lr": "log 0.01..0.1"},
        "scs": {
            "train.max_lr": "log 0.001..0.01",
            "train.schedule": {"onecycle": {"train.warm_up": "0.1..0.5"}, "constant": {}},
        },
    }
}


def made_of(space, **others):
    known = {"pruner": "none", "tpe_startup": 4, "trials": 10}
    return sweep(space=space, **{**known, **others})


def test_a_setting_under_a_choice_varies_with_it_alone():
    made = made_of(LAYERS)
    assert [each.name for each in made.dimensions] == ["layer", "p_init", "max_lr"]
    assert made.corners == (
        {"layer": "conv", "max_lr": 0.001},
        {"layer": "conv", "max_lr": 0.1},
        *({"layer": "scs", "p_init": start, "max_lr": rate} for start in ([1, 1], [1, 3]) for rate in (0.001, 0.1)),
    )
    conv, scs = made.cell(made.corners[0], 0), made.cell(made.corners[-1], 0)
    assert (conv.layer.name, conv.activation, conv.pooling) == ("conv", "relu", "max")
    assert (scs.layer.name, scs.activation, scs.pooling) == ("scs", "none", "maxabs")  # the base's
    assert (scs.layer.p_init, scs.layer.w_max) == ((1.0, 3.0), None)
    assert {"layer", "layer.name", "activation", "pooling", "layer.p_init"}.isdisjoint(made.shared())


def test_choices_may_stand_under_choices_and_the_same_setting_under_several():
    made = made_of(DEEP)
    assert [each.name for each in made.dimensions] == ["layer", "max_lr (conv)", "max_lr (scs)", "schedule", "warm_up"]
    assert {"layer": "scs", "max_lr (scs)": 0.001, "schedule": "constant"} in made.corners
    point = {"layer": "scs", "max_lr (scs)": 0.002, "schedule": "onecycle", "warm_up": 0.2}
    cell = made.cell(point, 0)
    assert (cell.train.max_lr, cell.train.schedule, cell.train.warm_up) == (0.002, "onecycle", 0.2)


@pytest.mark.parametrize("space", [LAYERS, DEEP])
def test_what_a_trial_draws_is_found_again(space):
    made = made_of(space)
    study = optuna.create_study(direction="maximize")
    for _ in range(6):
        trial = study.ask()
        point, seed = draw(trial, made)
        made.cell(point, seed)
        assert drawn(trial.params, made) == (point, seed)
        assert queued(point, seed, made).keys() == trial.params.keys() == {*point, "seed"}
    assert drawn({"layer": "scs", "seed": 0}, made) is None  # drawn half


def test_in_a_large_space_every_value_is_tried_with_what_it_stands_under(monkeypatch):
    monkeypatch.setattr(settings, "MOST_CORNERS", 3)
    made = made_of(DEEP)
    tried = {(name, str(value)) for point in made.corners for name, value in point.items()}
    assert tried == {(each.name, str(value)) for each in made.dimensions for value in each.sides}
    assert all(made.cell(point, 0) for point in made.corners)


def test_a_grid_has_every_point_once():
    made = made_of(LAYERS, sampler="grid", points=2)
    assert made.total == 2 + 2 * 2
    assert len({made.describe(point) for point, _ in made.grid}) == 6


def test_such_a_sweep_is_read_from_its_json_and_from_a_command_line():
    made = made_of(LAYERS)
    assert sweep_from(json.loads(json.dumps(dataclasses.asdict(made)))).shared() == made.shared()
    text = "{layer: {conv: {activation: relu, pooling: max}, scs: {layer.p_init: [[1,1],[1,3]], layer.w_max: null}}, train.max_lr: log 0.001..0.1}"  # fmt: skip # noqa: E501
    assert made_of(text).shared() == made.shared()


def test_workers_agree_on_what_goes_with_a_choice():
    other = {**LAYERS, "layer": {**LAYERS["layer"], "conv": {"activation": "none", "pooling": "max"}}}
    assert made_of(other).shared() != made_of(LAYERS).shared()
    other = {**LAYERS, "layer": {**LAYERS["layer"], "scs": {"layer.p_init": [[1, 1], [1, 2]], "layer.w_max": None}}}
    assert made_of(other).shared() != made_of(LAYERS).shared()


def test_table_figure_and_front_of_such_a_sweep(tmp_path):
    made = made_of(LAYERS, objectives=["accuracy", "parameters"])
    scheduler = TrialScheduler(join(made, "a-study", None, tmp_path, lambda: False, {}), made, tmp_path, {})
    while (taken := scheduler.acquire()) is not None:
        sharp = taken.cell.layer.name == "scs"
        value, count = (0.6, 24_974) if sharp else (0.7, 24_970)
        if not (tmp_path / taken.cell.run_name).exists():
            write_run(tmp_path, taken.cell, [value], "done", parameters=count)
        scheduler.complete(taken, value, count)
    rows = rows_of(scheduler.study.trials, made, tmp_path)
    assert len(rows) == 10
    ahead = {each.words for each in front(rows, made)}
    table = list(csv.DictReader(to_csv(rows, made, ahead).splitlines()))
    assert {(line["layer"], bool(line["p_init"])) for line in table} == {("conv", False), ("scs", True)}
    assert {line["layer"] for line in table if line["front"]} == {"conv"}
    head = caption(rows, made)
    assert "p_init of [1, 1], [1, 3] (where layer is scs)" in head
    assert to_markdown(rows, made, head, [], ahead).count(" yes ") == len([line for line in table if line["front"]])
    assert set(importances(scheduler.study, made)) == {"layer", "max_lr"}
    assert slices_figure(rows, made, head, tmp_path)


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({"layer": {"conv": "relu", "scs": {}}}, "layer.conv=relu: must be the settings that go with it"),
        (
            {"layer": {"conv": {}, "scs": {"train.max_lr": 0.1}}, "train.max_lr": "0.1..1"},
            "stands in two places",
        ),
        ({"layer": {"conv": {"layer": "scs"}, "scs": {}}}, "layer stands in two places"),
        ({"layer": {"conv": {"layer.p_init": [[1, 1], [1, 3]]}, "scs": {}}}, "layer=conv, p_init=.*it has no exponent"),
        ({"layer": {"scs": {}}}, "one value is no choice"),
        ({"layer": {"scs": {"seed": [0, 1]}, "conv": {}}}, "the seeds of a sweep are sweep.seeds"),
        ({"train.schedule": {"onecycle": {"train.warm_up": "0.5..0.1"}, "constant": {}}}, "an empty range"),
        ({"layer": {"scs": {"train.max_lr": "log 0.1-1"}, "conv": {}}}, "train.max_lr=log 0.1-1: must be a number"),
    ],
)
def test_what_makes_no_sense_under_a_choice_is_refused(space, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        made_of(space)
    assert "\n" not in str(caught.value)


def test_what_varies_under_a_choice_is_not_for_the_command_line():
    with pytest.raises(ValueError, match=r"layer.p_init=null: the sweep varies layer, .*layer.p_init"):
        sweep(space=LAYERS, pruner="none", overrides={"layer.p_init": "null"})


def test_a_pruner_and_two_objectives_exclude_each_other():
    with pytest.raises(ValueError, match=r"sweep.pruner=median: Optuna gives a trial up by the course of one"):
        made_of(LAYERS, objectives=["accuracy", "parameters"], pruner="median")


def test_a_choice_without_settings_is_a_list_of_choices():
    (each,) = dimensions_of({"layer": {"conv": None, "scs": {}}})
    assert each.written == dimensions_of({"layer": ["conv", "scs"]})[0].written
