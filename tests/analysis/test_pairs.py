"""Adversarial runs have a table and curves of their own, beside those of runs that have an accuracy."""

from __future__ import annotations

from pathlib import Path

import pytest

from scs_study.analysis.collect import collect
from scs_study.analysis.pairs import apart
from scs_study.analysis.publish import publish_matching
from scs_study.analysis.summary import summary
from scs_study.data import load_images
from scs_study.evaluation.trained import load_trained
from scs_study.experiments.compose import compose_cell
from scs_study.runs.context import RunContext
from scs_study.runs.run_one import run_cell
from scs_study.system import files
from tests.analysis.run_folders import write_run
from tests.support.pairs import digits_cell, few
from tests.training.runs import CPU

PAIR = digits_cell("dcgan", 1)
CLASSIFIER = compose_cell({"arch": "rohrer68k"}, {"train.epochs": 2}, 0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    images = few(load_images(PAIR.data, None, folder / "cache", download=False))
    place = RunContext(folder / "runs", CPU, None, folder / "cache", _images={PAIR.data.images_key: images})
    assert run_cell(PAIR, place).state in ("done", "collapsed")
    write_run(place.runs, CLASSIFIER, [0.3, 0.4], layers=3)
    return place.runs


def test_the_two_kinds_are_told_apart(runs: Path) -> None:
    classifiers, pairs = apart(collect(runs))
    assert list(classifiers["run"]) == [CLASSIFIER.run_name]
    assert list(pairs["run"]) == [PAIR.run_name]
    assert [len(each) for each in apart(collect(runs, [CLASSIFIER.run_name]))] == [1, 0]


def test_each_has_its_table_and_its_figures(runs: Path, tmp_path: Path) -> None:
    text = publish_matching(collect(runs), runs, tmp_path / "both", tables=True, figures=True)
    assert "Test accuracy" in text
    assert "pixel Fréchet" in text
    last = files.read_lines(runs / PAIR.run_name / "history.jsonl")[-1]
    (row,) = [line for line in text.splitlines() if line.startswith("dcgan conv")]
    for name in ("test_loss", "test_score_real", "test_pixel_frechet"):
        assert f"{last[name]:.3f}" in row.split()
    tables = {path.name for path in (tmp_path / "both" / "tables").iterdir()}
    assert tables >= {"both.md", "both-pairs.md", "both-pairs.csv"}
    figures = {path.name for path in (tmp_path / "both" / "figures").glob("*.png")}
    assert "losses.png" in figures
    assert [name for name in figures if name.startswith("curves")] == ["curves-rohrer68k-digits.png"]
    alone = publish_matching(collect(runs, [PAIR.run_name]), runs, tmp_path / "pair", tables=True, figures=False)
    assert "Test accuracy" not in alone
    assert (tmp_path / "pair" / "tables" / "pair.md").exists()


def test_no_error_is_shown_of_what_has_none(runs: Path) -> None:
    assert [group.name.split()[0] for group in summary(collect(runs), runs).groups] == ["rohrer68k"]


def test_what_classifies_is_not_looked_for_in_a_pair(runs: Path) -> None:
    with pytest.raises(ValueError, match="its networks are a generator and a discriminator"):
        load_trained(runs / PAIR.run_name)
