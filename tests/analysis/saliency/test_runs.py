"""The analysis of real run folders: kept, resumed after a kill, repaired, drawn; refusals in one line."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from scs_study.analysis.collect import collect
from scs_study.analysis.saliency import report as analysis
from scs_study.analysis.saliency.figure import Column, draw_maps
from scs_study.analysis.variants import records
from scs_study.config.schema import CellConfig
from scs_study.evaluation.parts import compute_parts
from scs_study.evaluation.saliency import evaluator as rooms
from scs_study.evaluation.saliency.evaluate import accurate, one_of_each_class
from scs_study.evaluation.saliency.evaluator import SaliencyData, SaliencyEvaluator, compact_maps, image_order
from scs_study.evaluation.saliency.measures import Measures, spearman
from scs_study.evaluation.saliency.settings import MapSettings, SaliencySettings, saliency_of
from scs_study.evaluation.trained import load_trained
from scs_study.experiments.compose import compose_cell, load_option
from scs_study.runs.context import RunContext
from scs_study.runs.run_one import run_cell
from scs_study.training.run import Settings
from scs_study.training.stopping import Interrupted
from tests.gates import until
from tests.support import commands

CPU = torch.device("cpu")
SETTINGS = SaliencySettings(MapSettings(), 30, 0.05, 10, 3, 5, 0, 0.0, False, (3, 14), "map")
CELLS = [("conv", "relu"), ("scs", "none")]


def cell(layer: str, activation: str) -> CellConfig:
    choices = {"arch": "rohrer47k", "layer": layer, "activation": activation, "pooling": "max"}
    return compose_cell(choices, {"train.epochs": 1}, 0)


@pytest.fixture(scope="module")
def run_context(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    folder = tmp_path_factory.mktemp("saliency")
    run_context = RunContext(folder / "runs", Settings(CPU), None, folder / "data")
    for which in CELLS:
        assert run_cell(cell(*which), run_context).state == "done"
    return run_context


def cached(run_context: RunContext) -> dict[str, int]:
    return {
        str(p.relative_to(run_context.runs)): p.stat().st_mtime_ns
        for p in run_context.runs.glob("*/saliency/*.safetensors")
    }


def evaluator(run_context: RunContext, settings: SaliencySettings = SETTINGS) -> SaliencyEvaluator:
    trained = load_trained(run_context.runs / cell("scs", "none").run_name)
    return SaliencyEvaluator(trained, run_context.images(trained.cell.data), settings, CPU)


def missing(run_context: RunContext, settings: SaliencySettings = SETTINGS) -> int:
    """The number of parts that are not cached."""
    return sum(part.compute is not None for part in evaluator(run_context, settings).parts())


def evaluated(of: SaliencyEvaluator) -> SaliencyData:
    for _ in compute_parts(of):
        pass
    data = of.data()
    assert data is not None
    return data


def saliency(frame: pd.DataFrame, run_context: RunContext, settings: SaliencySettings, folder: Path) -> list[str]:
    problems = analysis.compute(frame, run_context, settings)
    analysis.report(frame, run_context, settings, folder)
    return problems


def test_what_is_done_is_cached_and_found_again(run_context: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluated(evaluator(run_context))
    files = cached(run_context)
    assert missing(run_context) == 0
    again = evaluator(run_context)
    monkeypatch.setattr(SaliencyEvaluator, "network", property(lambda self: pytest.fail("nothing is left to compute")))
    found = evaluated(again)
    assert cached(run_context) == files
    assert np.array_equal(found.measures.gini, first.measures.gini)
    assert found.randomised is not None
    assert found.randomised.layers[0] == "head"


@pytest.mark.parametrize(
    "settings",
    [
        SaliencySettings(MapSettings(output="loss"), 30, 0.05, 10, 3, 5, 0, 0.0, False, None, "map"),
        SaliencySettings(MapSettings(), 30, 0.10, 10, 4, 6, 1, 0.0, False, None, "map"),
    ],
)
def test_other_settings_find_nothing(run_context: RunContext, settings: SaliencySettings) -> None:
    evaluated(evaluator(run_context))
    assert missing(run_context, settings) == 3


def test_how_it_is_drawn_is_no_part_of_what_is_computed(run_context: RunContext) -> None:
    evaluated(evaluator(run_context))
    drawn = SaliencySettings(MapSettings(), 30, 0.05, 10, 3, 5, 0, 0.5, True, (1, 2), "figure")
    assert missing(run_context, drawn) == 0


def test_more_images_start_with_the_same_ones(run_context: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "CHUNK", 10)
    few = evaluated(evaluator(run_context))
    more = SaliencySettings(MapSettings(), 50, 0.05, 10, 3, 5, 0, 0.0, False, None, "map")
    assert missing(run_context, more) == 2
    many = evaluated(evaluator(run_context, more))
    assert np.array_equal(many.numbers[:30], few.numbers)
    assert np.array_equal(many.measures.gini[:30], few.measures.gini)
    assert sorted(image_order(7, 3)) == list(range(7))


def test_numbers_do_not_depend_on_the_batch(
    run_context: RunContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = evaluated(evaluator(run_context))
    monkeypatch.setattr(rooms, "BATCH", 7)
    monkeypatch.setattr(rooms, "FORMAT", -1)  # so that it finds nothing
    second = evaluated(evaluator(run_context))
    assert second.measures.gini == pytest.approx(first.measures.gini, rel=1e-4)
    assert first.perturbed is not None
    assert second.perturbed is not None
    assert second.perturbed.deletion_random == pytest.approx(first.perturbed.deletion_random, rel=1e-4)


def test_a_damaged_file_is_set_aside_and_computed_again(
    run_context: RunContext, capsys: pytest.CaptureFixture[str]
) -> None:
    before = evaluated(evaluator(run_context))
    (path,) = (
        p for p in evaluator(run_context).run.folder.glob("saliency/measures-*") if evaluation_reads(run_context, p)
    )
    path.write_bytes(path.read_bytes()[:-3])
    after = evaluated(evaluator(run_context))
    assert np.array_equal(before.measures.gini, after.measures.gini)
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "is damaged" in sentence
    assert "damaged-1, computing it again" in sentence
    assert path.with_name(f"{path.name}.damaged-1").exists()


def evaluation_reads(run_context: RunContext, path: Path) -> bool:
    """Whether the analysis of SETTINGS looks at this file: without it something is left to do."""
    moved = path.rename(path.with_suffix(".away"))
    left = missing(run_context)
    moved.rename(path)
    return left == 1


def test_maps_are_cached_to_be_compared(run_context: RunContext) -> None:
    """Ranks of cached maps are those of the maps themselves, and what is measured already is not measured again."""
    evaluated(evaluator(run_context))
    compared = dataclasses.replace(SETTINGS, compared=20)
    assert missing(run_context, compared) == 1
    of = evaluator(run_context, compared)
    data = evaluated(of)
    assert data.maps is not None
    assert data.maps.shape == (20, 32, 32)
    assert data.maps.dtype == np.float16
    whole, _ = of.figure_maps(data.numbers[:20].tolist())
    assert spearman(data.maps, whole).min() > 0.9999
    assert missing(run_context, compared) == 0


def test_maps_of_larger_images_are_cached_small(run_context: RunContext) -> None:
    maps = torch.rand(3, 224, 224, dtype=torch.float64)
    maps[1] = 0
    maps[2, 0, 0] = torch.inf
    small = compact_maps(1e9 * maps)
    assert small.shape == (3, 32, 32)
    assert small[0].max() == 1
    assert small[1].abs().max() == 0
    assert small[2].isnan().all()
    mean = maps[0].view(32, 7, 32, 7).mean((1, 3))
    assert torch.allclose(small[0].double(), mean / mean.max(), atol=1e-3)


def test_an_interrupted_analysis_keeps_what_was_done(run_context: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "FORMAT", -2)
    monkeypatch.setattr(rooms, "CHUNK", 10)
    asked = 0

    def stop_at_the_third_part() -> None:
        nonlocal asked
        asked += 1  # before a part and before each of its batches, which is one here
        if asked == 5:
            raise Interrupted("enough")

    stopped = evaluator(run_context)
    stopped.check = stop_at_the_third_part
    assert missing(run_context) == 5
    with pytest.raises(Interrupted):
        evaluated(stopped)
    assert missing(run_context) == 3


def test_figures_and_tables_of_what_is_finished(
    run_context: RunContext, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [cell(*which) for which in CELLS] + [cell("sdp", "none")]
    frame = collect(run_context.runs, {each.run_name: each.identity() for each in cells})
    state = torch.get_rng_state()
    assert saliency(frame, run_context, SETTINGS, tmp_path) == []
    assert torch.equal(torch.get_rng_state(), state)
    assert "1 of 3 runs are not finished and left out." in capsys.readouterr().out
    paths = sorted(path for path in tmp_path.glob("*/*"))
    assert [path.suffix for path in paths].count(".png") == 3
    assert len(paths) == 6 + 9
    before = {path: path.read_bytes() for path in paths}
    assert saliency(frame, run_context, SETTINGS, tmp_path) == []
    assert {path: path.read_bytes() for path in paths} == before, "the same runs must give the same bytes"
    table = (tmp_path / "tables" / "saliency-rohrer47k-digits.md").read_text()
    assert "| scs none max " in table
    assert "not finished and left out" in table


def test_inaccurate_networks_are_left_out_and_it_is_said(run_context: RunContext, tmp_path: Path) -> None:
    rows = records(collect(run_context.runs))
    chosen, notes = accurate(rows, 1.0)
    assert chosen == []
    assert "with a final test accuracy below 100 %: rohrer47k conv relu max s0 (" in notes[0]
    strict = SaliencySettings(MapSettings(), 30, 0.05, 10, 3, 5, 0, 1.0, False, None, "map")
    assert saliency(collect(run_context.runs), run_context, strict, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_run_is_one_sentence_and_does_not_stop_the_others(run_context: RunContext, tmp_path: Path) -> None:
    path = run_context.runs / cell("conv", "relu").run_name / "weights.safetensors"
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-5])
        (sentence,) = saliency(collect(run_context.runs), run_context, SETTINGS, tmp_path)
    finally:
        path.write_bytes(content)
    assert "weights.safetensors is damaged" in sentence
    assert "scs none max" in (tmp_path / "tables" / "saliency-rohrer47k-digits.md").read_text()


@pytest.mark.parametrize("scale", ["map", "figure"])
@pytest.mark.parametrize("picture", [True, False])
def test_dead_maps_are_drawn_as_such(tmp_path: Path, picture: bool, scale: str) -> None:
    maps = np.random.default_rng(0).random((3, 224, 224)).astype(np.float32)
    maps[1] = 0
    maps[2, 0, 0] = np.inf
    settings = SaliencySettings(MapSettings(), 30, 0.05, 10, 3, 5, 0, 0.0, picture, None, scale)
    columns = [Column("scs none max p=2", maps, np.array([True, False, True]))] * 2
    pictures = np.zeros((3, 32, 32, 3), np.uint8) if picture else None
    paths = draw_maps(columns, ["cat", "dog", "frog"], pictures, settings, "made up", tmp_path, "maps")
    with Image.open(paths[0]) as image:
        colours = {colour: count for count, colour in image.getcolors(1 << 24) or []}
    assert colours[(0xD9, 0xD9, 0xD9)] > 10_000, "grey panels stand for maps that cannot be drawn"


@pytest.mark.parametrize(
    ("method", "changes", "sentence"),
    [
        ("gradient", {"method": "gradcam"}, r"saliency\.method=gradcam: not known"),
        ("gradient", {"target": "predict"}, r"did you mean predicted\?"),
        ("gradient", {"steps": 8}, r"saliency\.steps=8 has no effect on saliency\.method=gradient"),
        ("integrated_gradients", {"steps": None}, r"saliency\.steps=None: must be a whole number"),
        ("smoothgrad", {"noise": 0}, r"saliency\.noise=0: must be above 0 and at most 1"),
        ("gradient", {"images": 1}, r"saliency\.images=1: must be at least 2"),
        ("gradient", {"perturbed": 4000}, r"there are only saliency\.images=2000"),
        ("gradient", {"min_accuracy": 70}, r"saliency\.min_accuracy=70: must be at least 0 and at most 1"),
        ("gradient", {"chosen": 3}, r"saliency\.chosen=3: must be a list"),
        ("gradient", {"chosen": []}, r"saliency\.chosen=\[\]: name test images"),
        ("gradient", {"picture": "no"}, r"saliency\.picture=no: must be true or false"),
        ("gradient", {"scale": "row"}, r"saliency\.scale=row: not known"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(method: str, changes: dict[str, object], sentence: str) -> None:
    from omegaconf import OmegaConf

    with pytest.raises(ValueError, match=sentence) as refused:
        saliency_of(OmegaConf.create({**load_option("saliency", method), **changes}))
    assert "\n" not in str(refused.value)


def test_an_image_that_is_not_there_is_refused(run_context: RunContext, tmp_path: Path) -> None:
    wrong = SaliencySettings(MapSettings(), 30, 0.05, 10, 3, 5, 0, 0.0, False, (10**6,), "map")
    with pytest.raises(ValueError, match=r"saliency\.chosen=1000000: the test set has the images 0 to"):
        saliency(collect(run_context.runs), run_context, wrong, tmp_path)


def test_every_shipped_choice_is_valid() -> None:
    from omegaconf import OmegaConf

    names = [saliency_of(OmegaConf.create(load_option("saliency", n))).name for n in
             ("gradient", "integrated_gradients", "smoothgrad")]  # fmt: skip
    assert names == ["saliency", "saliency_integrated_gradients", "saliency_smoothgrad"]


def test_every_class_has_the_image_that_most_networks_are_right_about() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    nothing = Measures(*(np.zeros(4) for _ in range(5)))
    rights = [[False, True, False, True], [False, True, True, False]]
    order = np.array([4, 2, 0, 3])
    several = [SaliencyData(order, nothing, np.array(right), None, None) for right in rights]
    assert one_of_each_class(several, labels) == (2, 3)
    assert one_of_each_class(several[:1], labels[::-1].copy()) == (3, 2, 0)


@pytest.mark.slow
def test_ctrl_c_and_the_same_command_again(run_context: RunContext, tmp_path: Path) -> None:
    """A real process, interrupted in curves of more points than there is time for: it keeps what is done."""
    sizes = ["images=20", "chosen=[3]", "perturbed=20", "points=1000000000", "randomised=0", "seed=5", "min_accuracy=0"]
    line = ["match=rohrer47k-scs-*", f"runs={run_context.runs}", f"results={tmp_path}"]
    line += [f"saliency.{size}" for size in sizes]
    folder = run_context.runs / cell("scs", "none").run_name / "saliency"
    before = set(folder.glob("*.safetensors")) if folder.exists() else set()
    said = tmp_path / "said"
    with said.open("w") as file:
        process = commands.Command("saliency.py", *line, stdout=subprocess.DEVNULL, stderr=file, cwd=tmp_path)
    try:
        until(lambda: process.poll() is not None or set(folder.glob("measures-*.safetensors")) - before)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130, said.read_text()
    finally:
        process.kill()
    err = said.read_text()
    assert err.splitlines()[-1].startswith("stopped: the saliency analysis goes on from here")
    new = {path: path.stat().st_mtime_ns for path in set(folder.glob("*.safetensors")) - before}
    assert new
    assert not any("curves" in path.name for path in new)
    quick = [each for each in line if "points" not in each] + ["saliency.points=1"]
    done = commands.run("saliency.py", *quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(path.stat().st_mtime_ns == when for path, when in new.items())
    assert (tmp_path / "matched" / "tables" / "saliency-rohrer47k-digits.md").exists()
