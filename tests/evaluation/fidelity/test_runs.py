"""Finished adversarial runs are judged in the features of a classifier trained for it, and once only."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from scs_study.analysis.collect import collect
from scs_study.analysis.fidelity.figures import draw_samples
from scs_study.analysis.fidelity.report import check_images, compute, report
from scs_study.analysis.fidelity.results import Seed, Variant
from scs_study.analysis.registry import Subject, find_analysis
from scs_study.data import load_images
from scs_study.data.batches import resized, to_inputs
from scs_study.evaluation.fidelity.evaluator import REAL, cached, cell_in
from scs_study.evaluation.fidelity.features import Features, classifier_cell
from scs_study.evaluation.fidelity.settings import Fidelity, fidelity_of
from scs_study.evaluation.trained import load_trained
from scs_study.experiments.compose import load_option
from scs_study.runs.context import RunContext
from scs_study.runs.run_one import run_cell
from scs_study.training.objectives.adversarial import GENERATORS
from tests.support.pairs import digits_cell, few
from tests.training.runs import CPU

CELL = digits_cell("published", 2, train__batch_size=64, train__max_lr=0.002)
SETTINGS = dataclasses.replace(
    fidelity_of(OmegaConf.create(load_option("fidelity", "trained"))), epochs=1, samples=40, subsets=5, subset=20
)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    folder = tmp_path_factory.mktemp("fidelity")
    images = few(load_images(CELL.data, None, folder / "cache", download=False), 130, 60)
    place = RunContext(folder / "runs", CPU, None, folder / "cache", _images={CELL.data.images_key: images})
    assert run_cell(CELL, place).state in ("done", "collapsed")
    return place


def subject(context: RunContext, folder: Path) -> Subject:
    return Subject(collect(context.runs, {CELL.run_name: CELL.identity()}), context.runs, folder, context)


@pytest.fixture(scope="module")
def judged(context: RunContext, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    assert compute(subject(context, folder), SETTINGS) == []
    return folder


def test_the_classifier_is_a_run_of_its_own_on_the_same_images(context: RunContext, judged: Path) -> None:
    classifier = classifier_cell(CELL, SETTINGS)
    assert classifier.slug == "rohrer47k-conv-relu-max-digits_1ch-1ep-s0"
    assert classifier.data.images_key == CELL.data.images_key
    assert (context.runs / classifier.run_name / "result.json").exists()


def test_every_epoch_and_the_training_images_are_measured(context: RunContext, judged: Path) -> None:
    found = cached(context.runs / CELL.run_name, CELL, SETTINGS)
    assert [each.epoch for each in found] == [REAL, 1, 2]
    assert [each.count for each in found] == [40, 40, 40]
    real, *drawn = (each.measures for each in found)
    assert all(real.frechet < each.frechet for each in drawn)
    assert all(real.recall >= each.recall for each in drawn)
    assert len({each.generator for each in found}) == 3


def test_features_are_what_goes_into_the_last_layer(context: RunContext, judged: Path) -> None:
    folder = context.runs / classifier_cell(CELL, SETTINGS).run_name
    images = context.images(CELL.data).test_images[:7]
    x = to_inputs(images, (64, 64))
    found = Features(folder, torch.device("cpu")).of([x[:3], x[3:]])
    network = load_trained(folder).network
    with torch.no_grad():
        answers = network(resized(x, (32, 32))).double()
        head = network.get_submodule("head")
        again = torch.from_numpy(found) @ head.weight.double().T + head.bias.double()  # type: ignore[operator, union-attr]
    assert found.shape == (7, 30)
    assert torch.allclose(again, answers, atol=1e-5)


def test_what_is_measured_is_not_measured_again(
    context: RunContext, judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("scs_study.evaluation.fidelity.evaluator.measure", refuse)
    assert compute(subject(context, judged), SETTINGS) == []


def test_the_report_names_the_network_and_calls_nothing_fid(context: RunContext, judged: Path) -> None:
    paths = report(subject(context, judged), SETTINGS)
    assert all(path.stat().st_size > 0 for path in paths)
    names = {path.name for path in paths}
    assert names >= {"fidelity.md", "fidelity.csv", "fidelity.png", "samples.png", "samples-scs_gan-zimonitrome.gif"}
    table = (judged / "tables" / "fidelity.md").read_text()
    assert classifier_cell(CELL, SETTINGS).run_name in table
    assert "These are not FID and KID" in table
    with Image.open(judged / "figures" / "samples-scs_gan-zimonitrome.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 2
        assert animation.size == (256, 256)


def test_long_names_stand_above_their_samples_in_full(context: RunContext, tmp_path: Path) -> None:
    names = [CELL.run_name, "scs_gan_hybrid zimonitrome power=no norm=input_channel batchnorm"]
    shown = [Variant(words, [Seed({"run": CELL.run_name}, [], "")]) for words in (*names, "short")]
    sheet = next(path for path in draw_samples(shown, context.runs, tmp_path) if path.name == "samples.png")
    with Image.open(sheet) as picture:
        dark = np.asarray(picture.convert("L")) < 128
    assert dark.any()
    assert not dark[:2].any(), "something is cut off above"


def test_a_damaged_generator_is_a_message_and_the_others_stay(
    context: RunContext, judged: Path, tmp_path: Path
) -> None:
    path = context.runs / CELL.run_name / GENERATORS / "epoch-0002.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    try:
        (problem,) = compute(subject(context, tmp_path), dataclasses.replace(SETTINGS, samples=20))
        assert "epoch-0002.safetensors" in problem
        found = cached(context.runs / CELL.run_name, CELL, dataclasses.replace(SETTINGS, samples=20))
        assert [each.epoch for each in found] == [REAL, 1]
    finally:
        path.write_bytes(content)


def test_a_classifiers_run_has_nothing_to_judge(context: RunContext, judged: Path) -> None:
    with pytest.raises(ValueError, match="has no generator: its objective is classification"):
        cell_in(context.runs / classifier_cell(CELL, SETTINGS).run_name)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"samples": 1}, r"fidelity\.samples=1: must be at least 2"),
        ({"subsets": 0}, r"fidelity\.subsets=0: must be at least 1"),
        ({"neighbours": 2.5}, r"fidelity\.neighbours=2\.5"),
        ({"arch": "resnet19"}, r"arch=resnet19: not known"),
        ({"arch": "dcgan"}, r"dcgan is a generator and a discriminator"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        classifier_cell(CELL, Fidelity(**{**dataclasses.asdict(SETTINGS), **change}))  # type: ignore[arg-type]


def test_it_is_an_analysis_that_studies_can_name() -> None:
    config = OmegaConf.create({"fidelity": {**load_option("fidelity", "trained"), "samples": 0}})
    check = find_analysis("fidelity").check
    assert check is not None
    with pytest.raises(ValueError, match=r"fidelity\.samples=0"):
        check(config)


@pytest.mark.parametrize(
    ("train", "test", "change", "sentence"),
    [
        (130, 60, {}, None),
        (127, 60, {}, r"rohrer47k-.* trained in batches of 128, and there are 127 training images"),
        (130, 3, {}, r"fidelity\.neighbours=3: needs more images than that, and 3 of either kind"),
        (130, 60, {"samples": 3}, r"fidelity\.neighbours=3: needs more images than that, and 3 of either kind"),
        (130, 60, {"arch": "resnet19"}, r"arch=resnet19: not known"),
    ],
)
def test_what_its_images_do_not_suffice_for_is_refused_before_a_generator_is_trained(
    train: int, test: int, change: dict[str, object], sentence: str | None, tmp_path: Path
) -> None:
    images = few(load_images(CELL.data, None, tmp_path, download=False), train, test)
    place = RunContext(tmp_path / "runs", CPU, None, tmp_path, _images={CELL.data.images_key: images})
    settings = dataclasses.replace(SETTINGS, **change)  # type: ignore[arg-type]
    if sentence is None:
        check_images(settings, CELL, place)
    else:
        with pytest.raises(ValueError, match=sentence):
            check_images(settings, CELL, place)
    assert not (tmp_path / "runs").exists()
