"""What a sweep may vary, how it is written, and what is refused before anything starts."""

import re

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from scs_study.analysis.sweep.tables import caption
from scs_study.experiments.compose import PROJECT
from scs_study.experiments.sweep import settings
from scs_study.experiments.sweep.dimension import rounded
from scs_study.experiments.sweep.sampler import draw, drawn, queued
from scs_study.experiments.sweep.settings import sweep_of
from scs_study.experiments.sweep.space import dimensions_of, space_of
from tests.experiments.sweep.sweeps import sweep

MIXED = {
    "arch": ["rohrer25k", "rohrer68k"],
    "train.max_lr": "log 0.001..0.1",
    "train.batch_size": "log int 16..256",
    "train.label_smoothing": "0..0.2",
    "data.affine": [None, [5, 0.1, 0.9, 1.1, 2]],
    "data.flip": [True, False],
}


def with_space(space, **others):
    """The sweep `quick` with another space."""
    return sweep(space=space, pruner="none", **others)


def test_a_space_is_read_as_it_is_written_and_written_as_it_is_read():
    written = {each.key: each.written for each in dimensions_of(MIXED)}
    assert written["train.max_lr"] == "log 0.001..0.1"
    assert written["train.batch_size"] == "log int 16..256"
    assert written["data.affine"] == "[null, [5, 0.1, 0.9, 1.1, 2]]"
    assert {each.key: each.written for each in dimensions_of(space_of(str(MIXED).replace("None", "null")))} == written


def test_names_are_short_where_they_are_clear():
    space = {"layer.p": "1..2", "train.max_lr": "1..2", "layer.options.p": "1..2", "layer.options.state": "1..2"}
    assert [each.name for each in dimensions_of(space)] == [
        "layer.p",
        "max_lr",
        "layer.options.p",
        "layer.options.state",
    ]
    assert [each.name for each in dimensions_of({"layer.p": "1..2"})] == ["p"]  # what the studies of before have


@given(st.floats(-50, 50), st.floats(0.01, 10))
def test_a_drawn_number_stays_in_its_range(low, width):
    low, high = rounded(low), rounded(low + width)
    if low >= high:
        return
    (each,) = dimensions_of({"train.max_lr": f"{low}..{high}"})
    for share in (0, 0.001, 0.5, 0.999, 1):
        assert low <= each.value(low + share * (high - low)) <= high


def test_every_kind_of_setting_reaches_the_cell_that_a_trial_draws():
    made = with_space(str(MIXED).replace("None", "null"), seeds=[0, 3])
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(queued({**made.corners[0], "affine": [5, 0.1, 0.9, 1.1, 2], "batch_size": 32}, 3, made))
    trial = study.ask()
    point, seed = draw(trial, made)
    cell = made.cell(point, seed)
    assert (cell.data.affine, cell.train.batch_size, cell.seed) == ((5, 0.1, 0.9, 1.1, 2), 32, 3)
    assert (cell.arch, cell.data.flip, cell.train.max_lr) == ("rohrer25k", True, 0.001)
    assert drawn(trial.params, made) == (point, seed)


def test_a_grid_is_the_product_of_lists_and_spaced_ranges():
    space = "{arch: [rohrer25k, rohrer68k], train.batch_size: log int 16..64, train.max_lr: 0.01..0.03}"
    made = with_space(space, sampler="grid", points=3, seeds=[0, 1])
    assert made.total == 2 * 3 * 3 * 2
    (first, seed), *_ = made.grid
    assert (first, seed) == ({"arch": "rohrer25k", "batch_size": 16, "max_lr": 0.01}, 0)
    assert {point["batch_size"] for point, _ in made.grid} == {16, 32, 64}
    assert {point["max_lr"] for point, _ in made.grid} == {0.01, 0.02, 0.03}


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ("{train.max_lrr: log 0.1..1}", r"train.max_lrr: no such setting \(did you mean train.max_lr\?\)"),
        ("{engine.threads: int 1..2}", "engine.threads: no such setting"),
        ("{train.max_lr: 0.1..0.1}", "train.max_lr=0.1..0.1: an empty range"),
        ("{train.max_lr: log 0..1}", "a logarithm needs numbers above 0"),
        ("{train.max_lr: log 0.1-1}", r"write a range \(log 0.1..10"),
        ("{train.max_lr: log a..1}", "a is no number"),
        ("{train.max_lr: 0.1..inf}", "inf is no end of a range"),
        ("{train.max_lr: 0.12345..1}", "write 0.123 in place of 0.12345"),
        ("{train.batch_size: int 1.5..4}", "1.5 is no whole number"),
        ("{train.batch_size: 16..64}", "must be a whole number .write int before"),
        ("{train.label_smoothing: 0..2}", "train.label_smoothing=2.0: must be at least 0 and at most 0.999"),
        ("{arch: [rohrer25k, rohrer99k]}", "arch=rohrer99k: not known .did you mean"),
        ("{arch: [rohrer25k, 12]}", "12: must be the name of a choice in conf/arch"),
        ("{arch: int 1..4}", "write a list of choices in conf/arch"),
        ("{train.optimizer: [adam]}", "one value is no choice; put it into sweep.set"),
        ("{train.optimizer: [adam, adam]}", "must be different values"),
        ("{train.optimizer: [adam, {a: 1}]}", "must be a name, a number"),
        ("{seed: [0, 1]}", "the seeds of a sweep are sweep.seeds"),
        ("{}", "must name what varies"),
        ("p from 1 to 2", "write a range"),
        ("{train.max_lr: [", "cannot be read; write it as in"),
        ("{layer: [scs, conv], layer.p: log 0.1..10}", "layer=conv, p=0.1: .* it has no exponent"),
        ("{objective: [classification, adversarial]}", "choose objective=classification"),
    ],
)
def test_a_bad_space_is_refused_in_one_sentence(space, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        with_space(space)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_every_point_is_not_blamed_on_the_space():
    with pytest.raises(ValueError, match=r"^train.epochs=0: must be at least 1"):
        sweep(overrides={"train.epochs": 0})


def test_a_large_space_is_tried_along_each_setting(monkeypatch):
    monkeypatch.setattr(settings, "MOST_CORNERS", 3)
    made = with_space("{arch: [rohrer25k, rohrer68k], activation: [none, relu], pooling: [max, maxabs]}")
    assert len(made.corners) == 4
    with pytest.raises(ValueError, match="rohrer99k"):
        with_space("{activation: [none, relu], pooling: [max, maxabs], arch: [rohrer25k, rohrer99k]}")


def test_the_ends_of_the_only_range_can_be_given_by_themselves():
    made = with_space("{arch: [rohrer25k, rohrer68k], train.max_lr: log 0.001..0.1}", low=0.01)
    assert made.space["train.max_lr"] == "log 0.01..0.1"
    with pytest.raises(ValueError, match="for a space with one range; this one has 2"):
        with_space("{layer.p: 1..2, train.max_lr: log 0.001..0.1}", high=1)


def test_the_sweep_of_the_page_is_one():
    (block,) = re.findall(r"```yaml\n(.*?)```", (PROJECT / "docs" / "sweeps.md").read_text(), flags=re.DOTALL)
    made = sweep_of("mine", OmegaConf.create(block), {})
    assert [each.name for each in made.dimensions] == ["arch", "max_lr", "label_smoothing", "batch_size", "p_init"]
    assert made.judged_by == "held-out training"


@pytest.mark.parametrize(
    ("space", "said", "unsaid"),
    [
        ({"arch.widths": [[4, 4], [6, 6, 6]]}, "tied, mnist at 28 pixels", "tied_w"),
        ({"arch.widths.0": "int 4..8"}, "tied, mnist at 28 pixels", "tied_w"),
        ({"layer.p": "log 0.1..10"}, "tied_w", "tied,"),
        ({"data.image_size": "int 28..40"}, "mnist, 2 epochs", "pixels"),
    ],
)  # fmt: skip
def test_the_caption_names_nothing_as_common_that_varies(space, said, unsaid):
    base = {"layer": "scs", "activation": "none", "pooling": "maxabs", "norm": "batchnorm", "train": "mnist_small"}
    sized = (
        {"arch": "resnet20", "data": "mnist"} if "data.image_size" in space else {"arch": "tied", "data": "mnist_28"}
    )
    made = with_space(space, base=base | sized, set={"train.epochs": 2})
    words = caption([], made)
    assert said in words
    assert unsaid not in words
