"""The summary of a group of runs gives what show_results.py gave, and works while they train."""

import statistics

import pytest

from scs_study.analysis.collect import collect
from scs_study.analysis.summary import summary, summary_text
from tests.analysis.run_folders import cell, write_run


def test_a_group_has_the_statistics_of_its_final_test_errors(tmp_path):
    finals = [0.75, 0.80, 0.77]
    for seed, final in enumerate(finals):
        write_run(tmp_path, cell(seed=seed), [0.5, 0.82 - 0.01 * seed, final])
    (group,) = summary(collect(tmp_path), tmp_path).groups
    errors = [100 * (1 - final) for final in finals]
    assert group.error.n == 3
    assert group.error.mean == pytest.approx(statistics.mean(errors))
    assert group.error.deviation == pytest.approx(statistics.stdev(errors))
    assert group.error.error == pytest.approx(statistics.stdev(errors) / 3**0.5)
    assert group.best == pytest.approx(18.0)


def test_runs_that_still_train_are_listed_apart_with_their_epoch(study):
    runs, plan = study
    report = summary(collect(runs, plan), runs)
    assert [(u.state, u.epoch, u.error) for u in report.unfinished] == [
        ("running", 2, 50.0), ("failed", 1, 50.0), ("missing", 0, None),
    ]  # fmt: skip
    assert [group.error.n for group in report.groups] == [2, 1, 1, 1]


def test_before_any_run_has_finished_there_is_something_to_read(tmp_path):
    folder = write_run(tmp_path, cell(), [0.25], state="running")
    with (folder / "history.jsonl").open("a") as file:
        file.write('{"epoch": 2, "tes')
    text = summary_text(summary(collect(tmp_path), tmp_path))
    assert "No run has finished yet." in text
    assert "1/3" in text
    assert "75" in text


def test_a_damaged_history_hides_nothing(tmp_path):
    folder = write_run(tmp_path, cell(), [0.25, 0.5], state="running")
    (folder / "history.jsonl").write_text("nonsense\n{}\n")
    (unfinished,) = summary(collect(tmp_path), tmp_path).unfinished
    assert (unfinished.state, unfinished.epoch, unfinished.error) == ("running", 2, None)


def test_the_text_names_what_tells_groups_apart(tmp_path):
    write_run(tmp_path, cell(norm="none"), [0.5] * 3)
    write_run(tmp_path, cell(norm="batchnorm"), [0.5] * 3)
    write_run(tmp_path, cell(data__image_size=64), [0.5] * 3)
    text = summary_text(summary(collect(tmp_path), tmp_path))
    for words in ("conv relu max 32px", "conv relu max batchnorm 32px", "conv relu max 64px"):
        assert words in text
