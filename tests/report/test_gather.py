"""Runs of any kind are shown in parts: of the same images and as many epochs, since a table cannot hold more."""

from __future__ import annotations

from pathlib import Path

from scs_study.report.gather import by_schedule, gathered
from tests.analysis.run_folders import cell, write_run


def test_each_part_has_its_images_and_epochs_and_every_run_is_in_one(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    two = [cell(layer, train__epochs=2) for layer in ("conv", "scs")]
    three = [cell(layer, train__epochs=3) for layer in ("conv", "scs")]
    padded = cell(data__crop_padding=5)
    for each, place in ((two[0], here), (two[1], there), (three[0], here), (three[1], here), (padded, here)):
        write_run(place, each, [0.5] * each.train.epochs)
    parts = by_schedule(gathered({each.run_name: None for each in (*two, padded, *three)}, [here, there]))
    assert [(title, list(part.frame["run"])) for title, part in parts] == [
        ("digits, crop_padding 4, 2 epochs", [each.run_name for each in two]),
        ("digits, crop_padding 5, 3 epochs", [padded.run_name]),
        ("digits, crop_padding 4, 3 epochs", [each.run_name for each in three]),
    ]
    for _, part in parts:
        assert set(part.folders) == set(part.frame["run"])
        assert sorted(run for frame in part.by_place.values() for run in frame["run"]) == sorted(part.frame["run"])
    assert [set(part.by_place) for _, part in parts] == [{here, there}, {here}, {here}]


def test_parts_of_one_kind_of_images_have_no_settings_in_their_titles(tmp_path: Path) -> None:
    planned = [cell(train__epochs=epochs) for epochs in (1, 2)]
    for each in planned:
        write_run(tmp_path, each, [0.5] * each.train.epochs)
    parts = by_schedule(gathered(dict.fromkeys(each.run_name for each in planned), [tmp_path]))
    assert [title for title, _ in parts] == ["digits, 1 epoch", "digits, 2 epochs"]
