"""A table stands the paper's number beside ours, averages finished seeds only, and drops no run silently."""

import math

import pytest

from scs_study.analysis.collect import collect
from scs_study.analysis.paper import paper_table
from scs_study.analysis.tables import MOST_NAMED, table
from scs_study.system import files
from tests.analysis.run_folders import cell, write_run


def row_of(found, *variant):
    (row,) = [row for row in found.rows if (row.layer, row.activation, row.pooling) == variant]
    return row


def test_rows_are_in_the_papers_order_then_ours(study):
    runs, plan = study
    found = table(collect(runs, plan), "table3")
    paper = [(row.layer, row.activation, row.pooling) for row in paper_table("table3")]
    assert [(row.layer, row.activation, row.pooling) for row in found.rows] == [*paper, ("cosine", "none", "max")]
    assert [row.paper.accuracy if row.paper else None for row in found.rows][-2:] == [0.7774, None]


def test_ours_is_the_mean_of_the_best_accuracy_over_finished_seeds(study):
    runs, plan = study
    found = table(collect(runs, plan), "table3")
    baseline = row_of(found, "conv", "relu", "max")
    assert baseline.accuracy.mean == pytest.approx((0.75 + 0.8) / 2)
    assert baseline.final.mean == pytest.approx((0.75 + 0.77) / 2)
    assert baseline.seeds == (0, 1)
    assert baseline.difference == pytest.approx(100 * (0.775 - 0.7609))
    scs = row_of(found, "scs", "none", "maxabs")
    assert (scs.accuracy.mean, scs.seeds, scs.planned) == (0.625, (0,), 2)
    assert scs.state == "1 done, 1 running (epoch 2 of 3)"


def test_one_and_two_seeds_have_no_interval(study):
    runs, plan = study
    found = table(collect(runs, plan), "table3")
    assert math.isnan(row_of(found, "scs", "none", "maxabs").accuracy.low)
    baseline = row_of(found, "conv", "relu", "max").accuracy
    assert baseline.deviation == pytest.approx(0.05 / math.sqrt(2))
    assert math.isnan(baseline.low)


def several_seeds(tmp_path):
    """Three seeds each of a baseline, of a variant that is ten points better, and of one with two dead seeds."""
    for seed, base in enumerate((0.94, 0.97, 0.99)):
        write_run(tmp_path, cell(seed=seed), [0.5, 0.6, base - 0.1])
        write_run(tmp_path, cell("scs", "none", "max", seed), [0.5, 0.6, base])
        write_run(tmp_path, cell("sdp", "none", "max", seed), [0.2, 0.105, 0.8] if seed == 0 else [0.11, 0.1, 0.1])
    return table(collect(tmp_path))


def test_an_interval_of_several_seeds_stays_within_what_can_be(tmp_path):
    found = several_seeds(tmp_path)
    scs = row_of(found, "scs", "none", "max").accuracy
    assert scs.low < scs.mean < scs.high < 1
    assert scs.n == 3


def test_the_difference_to_the_usual_network_is_paired_by_seed(tmp_path):
    found = several_seeds(tmp_path)
    versus = row_of(found, "scs", "none", "max").several.versus
    assert (versus.mean, versus.low, versus.high) == pytest.approx((10, 10, 10))
    assert versus.n == 3
    assert row_of(found, "conv", "relu", "max").several.versus is None


def test_dead_seeds_are_apart_and_in_the_difference_at_chance(tmp_path):
    row = row_of(several_seeds(tmp_path), "sdp", "none", "max")
    assert (row.several.dead, row.several.finished) == (2, 3)
    assert (row.accuracy.n, row.accuracy.mean) == (1, 0.8)
    assert row.several.versus.mean == pytest.approx(((80 - 84) + (10 - 87) + (10 - 89)) / 3)


def test_other_initial_weights_are_no_pair(tmp_path):
    for seed in range(3):
        write_run(tmp_path, cell(seed=seed), [0.5] * 3)
        folder = write_run(tmp_path, cell("scs", seed=seed), [0.6] * 3)
        result = files.read_json(folder / "result.json")
        files.write_json(folder / "result.json", {**result, "shared_checksum": "8" * 64})
    assert row_of(table(collect(tmp_path)), "scs", "relu", "max").several.versus is None


def test_one_seed_of_each_says_nothing_of_seeds(tmp_path):
    write_run(tmp_path, cell(seed=0), [0.5] * 3)
    write_run(tmp_path, cell("scs", seed=1), [0.6] * 3)
    found = table(collect(tmp_path))
    assert not found.several
    assert [row.several for row in found.rows] == [None, None]


def test_a_cell_without_a_finished_run_says_why(study):
    runs, plan = study
    found = table(collect(runs, plan), "table3")
    assert row_of(found, "scs", "relu", "max").shown == "failed"
    assert row_of(found, "sdp", "none", "max").shown == "missing"
    assert row_of(found, "sdp", "none", "maxabs").shown == "not run"
    for variant in (("scs", "relu", "max"), ("sdp", "none", "max"), ("sdp", "none", "maxabs")):
        assert math.isnan(row_of(found, *variant).accuracy.mean)


def test_running_cells_count_epochs(tmp_path):
    write_run(tmp_path, cell(seed=0), [0.5, 0.6], state="running")
    write_run(tmp_path, cell(seed=1), [], state="failed")
    assert table(collect(tmp_path)).rows[0].shown == "running 2/3"


def test_diverged_and_untrained_runs_are_results(study):
    runs, plan = study
    found = table(collect(runs, plan), "table3")
    diverged = row_of(found, "sdp", "relu", "maxabs")
    assert (diverged.accuracy.mean, diverged.state) == (0.125, "diverged")
    assert row_of(found, "cosine", "none", "max").accuracy.mean == 0.3


def test_a_run_that_diverged_at_once_has_a_word_and_no_number(tmp_path):
    write_run(tmp_path, cell("sdp", "relu", "max", 0), [None], state="diverged")
    write_run(tmp_path, cell("sdp", "relu", "max", 1), [0.5, 0.6, 0.7])
    (row,) = table(collect(tmp_path)).rows
    assert (row.accuracy.mean, row.seeds, row.planned, row.state) == (0.7, (1,), 2, "1 done, 1 diverged")
    (alone,) = table(collect(tmp_path, [cell("sdp", "relu", "max", 0).run_name])).rows
    assert alone.shown == "diverged"


def test_ratios_are_to_the_baseline_of_the_same_kind(study):
    runs, plan = study
    found = table(collect(runs, plan), "table3")
    assert row_of(found, "conv", "relu", "max").times.train_ratio == 1
    scs = row_of(found, "scs", "none", "maxabs")
    assert scs.times.train_ratio == pytest.approx(5.0 / 2.5)
    assert scs.times.eval_ratio == pytest.approx(0.9 / 0.6)
    assert scs.paper_times.train_ratio == pytest.approx(132.628 / 92.674)
    assert scs.paper_times.eval_ratio == pytest.approx(8.104 / 9.379)


@pytest.mark.parametrize(
    "other",
    [
        {"planned": cell(), "device": "another device"},
        {"planned": cell(norm="batchnorm")},
        {"planned": cell(arch="rohrer47k")},
        {"planned": cell(data__image_size=64)},
        {"planned": cell(train__batch_size=64)},
        {"planned": cell(activation="none")},
    ],
    ids=["device", "norm", "architecture", "size", "recipe", "variant"],
)
def test_without_its_baseline_a_row_has_seconds_and_no_ratio(tmp_path, other):
    scs = cell("scs", "none", "max")
    write_run(tmp_path, scs, [0.5] * 3, seconds=(5.0, 0.9))
    write_run(tmp_path, other.pop("planned"), [0.5] * 3, **other)
    row = row_of(table(collect(tmp_path)), "scs", "none", "max")
    assert row.times.train_seconds == 5.0
    assert math.isnan(row.times.train_ratio)


def test_the_papers_ratios_stay_within_one_norm(study):
    for row in table(collect(study[0]).iloc[:0], "table8").rows:
        if (row.layer, row.activation, row.pooling) == ("conv", "relu", "max"):
            assert row.paper_times.train_ratio == 1
        elif (row.layer, row.activation, row.pooling, row.norm) == ("scs", "none", "max", "none"):
            assert row.paper_times.train_ratio == pytest.approx(188.621 / 162.47)


def test_a_setting_that_varies_gets_a_column_and_rows_of_its_own(tmp_path):
    write_run(tmp_path, cell("scs", "none", "max", layer__p=2.0, layer__p_init=None), [0.5] * 3)
    write_run(tmp_path, cell("scs", "none", "max", layer__p=0.5, layer__p_init=None), [0.25] * 3)
    write_run(tmp_path, cell("sdp", "none", "max"), [0.75] * 3)
    found = table(collect(tmp_path))
    assert found.extra == ("layer.p",)
    assert [(row.extra, row.accuracy.mean) for row in found.rows] == [((0.5,), 0.25), ((2.0,), 0.5), ((None,), 0.75)]


def test_settings_that_differ_only_between_layers_get_no_column(study):
    assert table(collect(study[0])).extra == ()


def test_mixed_recipes_are_marked_apart(tmp_path):
    paper = {"data__name": "cifar10", "train__epochs": 800}
    write_run(tmp_path, cell("conv", **paper), [0.5] * 800)
    write_run(tmp_path, cell("scs", **paper, train__max_lr=0.05), [0.5] * 800)
    write_run(tmp_path, cell("sdp"), [0.5] * 3)
    found = table(collect(tmp_path))
    assert [row.mark for row in found.rows] == ["", "*1", "*2"]
    assert found.footnotes[:2] == (
        "*1 Not the recipe of the paper's tables (Appendix A): maximum learning rate 0.05, not 0.01.",
        "*2 Not the recipe of the paper's tables (Appendix A): data digits; 3 epochs, not 800.",
    )


def test_footnotes_name_the_runs_that_went_wrong(study):
    runs, plan = study
    notes = table(collect(runs, plan), "table3").footnotes
    assert "rohrer25k scs relu max, seed 0: failed (ValueError: 50% of a_b & c | *)." in notes
    assert "rohrer25k sdp relu maxabs, seed 0: diverged (loss is nan)." in notes
    assert notes[-1] == "Not averaged in: 1 running, 1 failed, 1 missing."


def test_a_run_that_trained_with_a_gradient_out_of_bounds_is_named_too(tmp_path):
    folder = write_run(tmp_path, cell("sdp"), [0.1239])
    result = files.read_json(folder / "result.json")
    bounds = {"epoch": 1, "step": 57, "layer": "conv2", "gradient_norm": 1455327.6}
    files.write_json(folder / "result.json", {**result, "gradient_left_bounds": bounds})
    words = "the gradient norm of conv2 was 1.46e+06 in epoch 1, step 57"
    assert f"rohrer25k sdp relu max, seed 0: done ({words})." in table(collect(tmp_path)).footnotes
    files.write_json(folder / "result.json", {**result, "gradient_left_bounds": {"epoch": 1}})
    assert collect(tmp_path)["state"].tolist() == ["damaged"]


def test_many_failures_are_counted_where_they_cannot_all_be_named(tmp_path):
    for seed in range(MOST_NAMED + 5):
        write_run(tmp_path, cell(seed=seed), [], state="failed")
    notes = table(collect(tmp_path)).footnotes
    assert "And 5 more runs that failed, diverged or did not train." in notes


def test_a_missing_run_of_which_nothing_is_known_is_named(tmp_path):
    found = table(collect(tmp_path, ["rohrer25k-conv-relu-max-digits-3ep-s0-0123456789ab"]))
    assert found.rows == ()
    assert "0123456789ab: missing, and no config says what it is." in found.footnotes[0]


def test_a_damaged_run_is_a_row_when_its_config_can_be_read(tmp_path):
    folder = write_run(tmp_path, cell(), [0.5] * 3)
    (folder / "result.json").write_text("{")
    (row,) = table(collect(tmp_path)).rows
    assert row.shown == "damaged"


def test_the_caption_says_what_was_computed_where(study):
    runs, plan = study
    caption = table(collect(runs, plan), "table3").caption
    for words in (
        "Table 3",
        "digits (32 pixels)",
        "3 epochs",
        "seeds 0-1",
        "8 runs, 5 finished",
        "cpu",
        "commit 0123456",
    ):
        assert words in caption


def test_the_caption_says_where_no_commit_is_known(tmp_path):
    for seed, commit in enumerate((None, "0123456789abcdef")):
        write_run(tmp_path, cell(seed=seed), [0.5] * 3, commit=commit)
        expected = "commit unknown" if commit is None else "commits 0123456, unknown"
        assert expected in table(collect(tmp_path)).caption


def test_an_unknown_table_of_the_paper_is_refused(study):
    with pytest.raises(ValueError, match="table9"):
        table(collect(study[0]), "table9")
