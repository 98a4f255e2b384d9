"""Weight norms per mini-batch, p per kernel, ridgelines: their numbers against closed forms, their files."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scs_study.analysis.collect import collect
from scs_study.analysis.p_values.motion import first_layer, motion
from scs_study.analysis.p_values.report import p_values
from scs_study.analysis.plots.ridgelines import RIDGES, chosen_epochs, heights, ridgelines
from scs_study.analysis.plots.style import broken
from scs_study.analysis.weight_norms.growth import growth, step_norms
from scs_study.analysis.weight_norms.report import weight_norms
from scs_study.config.schema import CellConfig
from tests.analysis.run_folders import cell, write_run


def write_steps(run: Path, before: list[float], epochs: list[np.ndarray]) -> None:
    """steps.jsonl of a run: the norms before the first step, then (steps, layers) norms of every epoch."""
    with (run / "steps.jsonl").open("w") as file:
        for number, norms in enumerate(epochs, start=1):
            text = base64.b64encode(norms.astype("<f4").tobytes()).decode()
            names = [f"conv{index}" for index in range(1, norms.shape[1] + 1)]
            line = {"epoch": number, "layers": names, "before": before, "steps": len(norms), "weight_norm": text}
            file.write(json.dumps(line) + "\n")
            before = norms[-1].tolist()


def layers(run: Path, p: np.ndarray, q: float | None = 1e-3) -> None:
    """layers.jsonl of a run with p (epochs, kernels) in its second layer, and none in its first."""
    histogram = {"low": -1.0, "high": 1.0, "counts": [0, 1, 2, 4, 2, 1, 0]}
    plain = {"weight_norm": 1.0, "gradient_norm": 1.0, "p": None, "q": None, "weights": histogram}
    with (run / "layers.jsonl").open("w") as file:
        for number, values in enumerate(p.tolist(), start=1):
            record = {"conv1": plain, "conv2": {**plain, "p": values, "q": q}, "conv3": {**plain, "p": values[::-1]}}
            file.write(json.dumps({"epoch": number, "layers": record}) + "\n")


def resnet(init: str, w_max: float | None = 1.0, scale: float = 1.0) -> CellConfig:
    return cell("scs", init=init, arch="resnet20", norm="batchnorm", layer__w_max=w_max, layer__weight_scale=scale)


def test_norms_begin_before_the_first_step_and_keep_every_step(tmp_path: Path) -> None:
    run = write_run(tmp_path, cell("scs"), [0.2, 0.3])
    assert step_norms(run) is None
    write_steps(run, [1.0, 2.0], [np.array([[1.5, 2.0], [2.0, 1.0]]), np.array([[4.0, 0.5]])])
    norms = step_norms(run)
    assert norms is not None
    assert norms.paths == ("conv1", "conv2")
    assert norms.values.tolist() == [[1.0, 2.0], [1.5, 2.0], [2.0, 1.0], [4.0, 0.5]]
    assert norms.ends == (0, 2, 3)


def test_growth_of_known_norms(tmp_path: Path) -> None:
    run = write_run(tmp_path, cell("scs"), [0.2, 0.3])
    # The first layer quadruples and never falls; the second ends where it began after a detour; the third falls.
    first = np.array([[2.0, 4.0, 4.0], [2.0, 1.0, 3.0]])
    second = np.array([[3.0, 1.5, 2.0], [4.0, 2.0, 1.0]])
    write_steps(run, [1.0, 2.0, 8.0], [first, second])
    norms = step_norms(run)
    assert norms is not None
    found = growth(norms)
    assert found.start == pytest.approx((1 * 2 * 8) ** (1 / 3))
    assert found.end == pytest.approx((4 * 2 * 1) ** (1 / 3))
    assert found.ratio == pytest.approx(found.end / found.start)
    assert (found.smallest, found.largest) == (1 / 8, 4.0)
    assert (found.rising, found.monotone, found.layers) == (1, 1, 3)


def test_damaged_norms_are_one_sentence(tmp_path: Path) -> None:
    run = write_run(tmp_path, cell("scs"), [0.2])
    write_steps(run, [1.0], [np.ones((3, 1))])
    text = (run / "steps.jsonl").read_text()
    (run / "steps.jsonl").write_text(text.replace('"steps": 3', '"steps": 4'))
    with pytest.raises(ValueError, match=r"steps\.jsonl is damaged: epoch 1: 3 norms, not 4 x 1"):
        step_norms(run)


@pytest.fixture
def figure_2(tmp_path: Path) -> tuple[Path, list[CellConfig]]:
    """Scratch, pretrained, and a control, in the norms' scales that systems.md 5 measured."""
    cells = [resnet("uniform"), resnet("pretrained"), resnet("conv2d", None)]
    for which, start, rise in zip(cells, (50.0, 8.0, 6.0), (1.0, 2.0, 2.5), strict=True):
        run = write_run(tmp_path / "runs", which, [0.5, 0.6])
        path = start * rise ** np.linspace(0, 1, 21)
        norms = np.stack([path, 2 * path], axis=1)
        write_steps(run, norms[0].tolist(), [norms[1:11], norms[11:]])
    return tmp_path / "runs", cells


def test_the_papers_figure_and_the_controls_are_drawn_and_tabled(
    figure_2: tuple[Path, list[CellConfig]], tmp_path: Path
) -> None:
    runs, cells = figure_2
    frame = collect(runs, {which.run_name: which.identity() for which in cells})
    paths = weight_norms(frame, runs, tmp_path / "results")
    names = [path.name for path in paths]
    assert "figure2-resnet20-batchnorm-digits.png" in names
    assert "weight_norms-resnet20-batchnorm-digits.png" in names
    table = (tmp_path / "results" / "tables" / "weight_norms.md").read_text()
    assert "| scs relu max init=uniform w_max=1 weight_scale=1" not in table  # no scale differs here
    (scratch,) = [line for line in table.splitlines() if "init=uniform" in line]
    (pretrained,) = [line for line in table.splitlines() if "init=pretrained" in line]
    assert "w_max=1" in pretrained
    assert "w_max=off" in table
    assert [part.strip() for part in scratch.split("|")][7:8] == ["1.00"]
    assert [part.strip() for part in pretrained.split("|")][7:8] == ["2.00"]
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert min(picture.size) > 300
    before = {path: path.read_bytes() for path in paths}
    weight_norms(frame, runs, tmp_path / "results")
    assert {path: path.read_bytes() for path in paths} == before, "the same runs must give the same bytes"


def test_long_titles_of_panels_are_broken_between_settings() -> None:
    words = "scs relu max init=checkpoint-0123456789ab_sized_as_uniform w_max=off"
    assert broken(words).splitlines() == ["scs relu max", "init=checkpoint_sized_as_uniform, w_max=off"]
    longer = broken(f"{words} weight_decay=0.0001").splitlines()
    assert longer[1:] == ["init=checkpoint_sized_as_uniform, w_max=off,", "weight_decay=0.0001"]
    assert broken("conv relu max") == "conv relu max"


def test_monotone_is_counted_and_straightness_is_the_way_over_the_way_travelled() -> None:
    p = np.array([[1.0, 2.0, 1.0, 5.0], [1.5, 1.5, 3.0, 5.0], [3.0, 1.0, 2.0, 5.0]])
    found = motion(p)
    assert found.monotone == 0.75  # rising, falling and resting; the third turned back
    assert found.straight == pytest.approx(1.0)  # of 1, 1, 1/3 and 1 the median
    assert (found.first, found.last, found.low, found.high, found.kernels) == (1.5, 2.5, 1.0, 5.0, 4)
    back = motion(np.array([[1.0], [2.0], [1.0]]))
    assert (back.monotone, back.straight) == (0.0, 0.0)
    once = motion(np.array([[1.0, 2.0]]))
    assert math.isnan(once.monotone)
    assert math.isnan(once.straight)


def test_the_first_layer_with_an_exponent_is_looked_at(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs", cell("scs"), [0.2, 0.3])
    assert first_layer(run) is None
    p = np.array([[1.0, 2.0], [1.5, 1.5]])
    layers(run, p)
    found = first_layer(run)
    assert found is not None
    assert np.array_equal(found, p)
    frame = collect(tmp_path / "runs")
    paths = p_values(frame, tmp_path / "runs", tmp_path / "results")
    assert [path.suffix for path in paths] == [".png", ".pdf", ".md", ".csv"]
    head, row = paths[-1].read_text().splitlines()
    assert dict(zip(head.split(","), row.split(","), strict=True))["monotone"] == "1.0"


def test_a_ridge_shows_every_weight_and_the_last_epoch_is_always_there() -> None:
    assert heights(np.array([0.0, 1.0, 3.0, 7.0])).tolist() == [0, 1, 2, 3]
    for count in (1, 2, RIDGES, 17, 800):
        chosen = chosen_epochs(count)
        assert len(chosen) == min(count, RIDGES)
        assert chosen[-1] == count - 1
        assert chosen == sorted(set(chosen))


@pytest.mark.parametrize("q", [1e-3, None])
def test_ridgelines_of_any_run_finished_or_not(tmp_path: Path, q: float | None) -> None:
    run = write_run(tmp_path / "runs", cell("scs"), [0.2, 0.3], state="running")
    assert ridgelines(run, tmp_path) == ()
    layers(run, np.array([[1.0, 2.0, 2.5], [1.5, 1.5, 2.0]]), q)
    paths = ridgelines(run, tmp_path)
    assert [path.name for path in paths] == [f"ridgelines-{run.name}.png", f"ridgelines-{run.name}.pdf"]
    with Image.open(paths[0]) as picture:
        assert len(picture.getcolors(1 << 24) or []) > 10
