"""The paper's numbers arrive unchanged, in our words; its recipe is told apart from any other."""

from pathlib import Path

import pytest

from scs_study.analysis.collect import collect
from scs_study.analysis.paper import paper_epochs, paper_table, paper_tables, recipe_differences
from scs_study.analysis.variants import records
from scs_study.config.schema import ACTIVATIONS, LAYERS, NORMS, POOLINGS
from tests.analysis.run_folders import cell, write_run


def test_every_table_has_all_its_rows():
    assert [len(rows) for rows in paper_tables().values()] == [8, 8, 10, 10, 10, 10, 10, 12]


@pytest.mark.parametrize(
    ("table", "key", "numbers"),
    [  # read off the paper's text and systems.md appendix B
        ("table1", ("rohrer100k", "conv", "none", "maxabs", "none", 32), (0.4952, 22.176, 2.113)),
        ("table2", ("resnet18", "scs", "relu", "maxabs", "batchnorm", 32), (0.8306, 85.369, 3.075)),
        ("table3", ("rohrer25k", "sdp", "relu", "maxabs", "none", 32), (0.1, 128.575, 8.056)),
        ("table4", ("rohrer47k", "scs", "relu", "maxabs", "none", 32), (0.2513, 125.136, 8.643)),
        ("table5", ("rohrer68k", "conv", "relu", "max", "none", 32), (0.836, 93.161, 9.424)),
        ("table6", ("rohrer100k", "sdp", "none", "max", "none", 32), (0.8376, 132.427, 7.503)),
        ("table7", ("rohrer583k", "scs", "none", "max", "none", 32), (0.8634, 132.682, 6.559)),
        ("table8", ("resnet18", "conv", "relu", "maxabs", "batchnorm", 224), (0.9287, 156.556, 26.798)),
        ("table8", ("resnet18", "scs", "relu", "max", "none", 224), (0.8853, 193.119, 22.343)),
    ],
)
def test_numbers_arrive_unchanged(table, key, numbers):
    (row,) = [row for row in paper_table(table) if row.key == key]
    assert (row.accuracy, row.train_seconds, row.eval_seconds) == numbers


def test_all_words_are_ours_and_no_row_comes_twice():
    for rows in paper_tables().values():
        assert len({row.key for row in rows}) == len(rows)
        for row in rows:
            assert row.layer in LAYERS
            assert row.activation in ACTIVATIONS
            assert row.pooling in POOLINGS
            assert row.norm in NORMS


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="table1 to table8"):
        paper_table("table9")


def test_the_paper_trains_gallery_networks_for_800_epochs_and_others_for_200():
    assert [paper_epochs(name) for name in ("rohrer25k", "rohrer583k", "resnet18", "resnet20")] == [800, 800, 200, 200]


def differences(tmp_path: Path, *variant: str, **settings: object) -> tuple[str, ...]:
    paper = {"data__name": "cifar10", "train__epochs": 800}
    write_run(tmp_path, cell(*variant, **{**paper, **settings}), [0.1], state="running")
    return recipe_differences(records(collect(tmp_path))[0])


@pytest.mark.parametrize("layer", ["conv", "scs", "sdp", "cosine"])
def test_the_papers_recipe_does_not_differ_from_itself(tmp_path, layer):
    assert differences(tmp_path, layer) == ()


@pytest.mark.parametrize(
    ("variant", "settings", "words"),
    [
        ("conv", {"data__name": "digits"}, "data digits"),
        ("conv", {"train__epochs": 3}, "3 epochs, not 800"),
        ("conv", {"train__epochs": 1}, "1 epoch, not 800"),
        ("conv", {"arch": "resnet18"}, "800 epochs, not 200"),
        ("conv", {"data__image_size": 64}, "images of 64 pixels, not 32"),
        ("conv", {"train__max_lr": 0.05}, "maximum learning rate 0.05, not 0.01"),
        ("conv", {"train__weight_decay": 5e-4}, "weight decay 0.0005, not 0"),
        ("conv", {"train__batch_size": 64}, "batches of 64, not 128"),
        ("conv", {"train__schedule": "constant"}, "schedule constant, not onecycle"),
        ("conv", {"train__optimizer": "sgd", "train__momentum": 0.9}, "optimizer sgd, not adam"),
        ("conv", {"train__label_smoothing": 0.1}, "label smoothing 0.1, not 0"),
        ("conv", {"train__numerics": "bf16"}, "numerics bf16, not float32"),
        ("conv", {"data__flip": False}, "no horizontal flip"),
        ("conv", {"data__crop_padding": 0}, "no random crop"),
        ("conv", {"data__crop_padding": 2}, "crop padding 2, not 4"),
        ("scs", {"layer__parameterisation": "mar2022", "layer__w_max": None}, "layer of mar2022, not may2022"),
        ("scs", {"layer__w_max": None}, "weights not clamped"),
        ("scs", {"layer__w_max": 3.0}, "weights clamped to 3, not 1"),
        ("scs", {"layer__p": 2.0, "layer__p_init": None}, "p fixed at 2"),
        ("sdp", {"layer__weight_scale": 4.0}, "initial weights scaled by 4"),
        ("scs", {"layer__skip_1x1": True}, "1x1 convolutions kept"),
    ],
)
def test_a_difference_is_told_in_words(tmp_path, variant, settings, words):
    assert differences(tmp_path, variant, **settings) == (words,)


def test_several_differences_are_all_told(tmp_path):
    assert differences(tmp_path, "conv", data__name="mnist", train__epochs=2, data__flip=False) == (
        "data mnist", "2 epochs, not 800", "no horizontal flip",
    )  # fmt: skip
