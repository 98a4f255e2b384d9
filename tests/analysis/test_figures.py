"""Figures are drawn from whatever run folders say so far, always the same, small, and without side effects."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib import image

from scs_study.analysis.collect import collect
from scs_study.analysis.plots.curves import Seed, curves, mean_curve, smoothing, zoom_window
from scs_study.analysis.plots.layer_norms import mean_norms, norms
from scs_study.analysis.plots.style import figure_groups, logarithmic, new_figure, our_style, save
from scs_study.analysis.variants import variants
from tests.analysis.run_folders import cell, learning_curve, write_run


def names(paths):
    return [path.name for path in paths]


def test_error_curves_of_runs_in_every_state(study, tmp_path):
    runs, plan = study
    paths = curves(collect(runs, plan), runs, tmp_path / "figures")
    assert names(paths) == ["curves-rohrer25k-digits.png", "curves-rohrer25k-digits.pdf"]
    height, width = image.imread(paths[0]).shape[:2]
    assert width > height > 400


def test_the_same_runs_give_the_same_bytes(study, tmp_path):
    runs, _ = study
    write_run(runs, cell(seed=7), [0.5] * 3, layers=3)
    for draw in (curves, norms):
        once, again = (draw(collect(runs), runs, tmp_path / folder) for folder in ("once", "again"))
        assert [path.read_bytes() for path in once] == [path.read_bytes() for path in again]


def test_no_colour_of_a_variant_is_lost_in_the_png(tmp_path):
    for seed in range(8):
        write_run(tmp_path, cell("scs", "none", "max", seed, train__epochs=40), learning_curve(0.7, 40, seed))
    for layer in ("conv", "sdp", "cosine"):
        for pooling in ("max", "maxabs"):
            write_run(tmp_path, cell(layer, "none", pooling, train__epochs=40), [None] * 40, state="diverged")
    frame = collect(tmp_path)
    png, _ = curves(frame, tmp_path, tmp_path / "figures")
    pixels = {tuple(pixel) for pixel in (image.imread(png)[..., :3] * 255).round().astype(int).reshape(-1, 3)}
    (figure_group,) = figure_groups(frame, "curves")
    assert (255, 255, 255) in pixels
    for style in figure_group.styles:
        red, green, blue = (int(style["color"][start : start + 2], 16) for start in (1, 3, 5))
        assert (red, green, blue) in pixels, style


def test_a_full_length_figure_stays_small(tmp_path):
    variants_of_table3 = [("conv", "relu"), ("scs", "none"), ("scs", "relu"), ("sdp", "none"), ("sdp", "relu")]
    for number, (layer, activation) in enumerate(variants_of_table3):
        for pooling in ("max", "maxabs"):
            for seed in range(3):
                planned = cell(layer, activation, pooling, seed, train__epochs=800)
                write_run(tmp_path, planned, learning_curve(0.75, 800, number + seed), layers=3 if seed == 0 else 0)
    frame = collect(tmp_path)
    for path in (*curves(frame, tmp_path, tmp_path / "figures"), *norms(frame, tmp_path, tmp_path / "figures")):
        assert path.stat().st_size < 300_000, path.name


def test_the_norms_of_a_deep_network_stay_small(tmp_path):
    for layer, activation, pooling in (("conv", "relu", "max"), ("scs", "none", "max"), ("scs", "none", "maxabs")):
        planned = cell(layer, activation, pooling, arch="resnet18", train__epochs=200)
        write_run(tmp_path, planned, [0.5] * 200, layers=20)
    for path in norms(collect(tmp_path), tmp_path, tmp_path / "figures"):
        assert path.stat().st_size < 200_000, path.name


def test_a_single_epoch_and_a_run_without_any_are_drawn(tmp_path):
    write_run(tmp_path, cell(seed=0), [0.5], state="running", layers=1)
    write_run(tmp_path, cell("scs"), [], state="running")
    write_run(tmp_path, cell("sdp"), [None], state="diverged")
    frame = collect(tmp_path)
    assert len(curves(frame, tmp_path, tmp_path / "figures")) == 2
    assert len(norms(frame, tmp_path, tmp_path / "figures")) == 2


def test_only_runs_that_have_not_begun_still_give_a_figure_of_curves(tmp_path):
    write_run(tmp_path, cell(), [], state="running")
    frame = collect(tmp_path)
    assert len(curves(frame, tmp_path, tmp_path / "figures")) == 2
    assert norms(frame, tmp_path, tmp_path / "figures") == ()


def test_a_damaged_history_hides_no_other_curve(tmp_path):
    folder = write_run(tmp_path, cell(seed=0), [0.5] * 3)
    write_run(tmp_path, cell(seed=1), [0.5] * 3)
    (folder / "history.jsonl").write_text("nonsense\n{}\n")
    assert len(curves(collect(tmp_path), tmp_path, tmp_path / "figures")) == 2


def test_architectures_norms_sizes_and_data_get_a_figure_each(tmp_path):
    for planned in (
        cell(),
        cell(arch="resnet18", norm="batchnorm", data__name="cifar10", data__image_size=224),
        cell(arch="resnet18", data__name="cifar10", data__image_size=224),
    ):
        write_run(tmp_path, planned, [0.5] * 3)
    assert [figure_group.name for figure_group in figure_groups(collect(tmp_path), "curves")] == [
        "curves-resnet18-batchnorm-cifar10-224", "curves-resnet18-cifar10-224", "curves-rohrer25k-digits",
    ]  # fmt: skip


def test_no_two_variants_of_a_figure_look_alike(tmp_path):
    for layer in ("conv", "scs", "sdp", "cosine"):
        for activation in ("none", "relu"):
            for pooling in ("max", "maxabs"):
                write_run(tmp_path, cell(layer, activation, pooling), [0.5] * 3)
    for p in (0.5, 1.0, 2.0):
        write_run(tmp_path, cell("scs", "none", "max", layer__p=p, layer__p_init=None), [0.5] * 3)
    (figure_group,) = figure_groups(collect(tmp_path), "curves")
    assert len({repr(style) for style in figure_group.styles}) == len(figure_group.styles) == 19
    assert len(set(figure_group.labels)) == 19


def test_the_zoom_is_where_most_runs_end():
    low, high = zoom_window([20.0, 21.0, 22.0, 23.0, 90.0, 87.0])
    assert low < 20
    assert 23 < high < 40
    assert zoom_window([50.0]) == (49.0, 51.0)
    assert zoom_window([0.0, 0.0]) == (0.0, 1.0)


def test_a_seed_that_stopped_does_not_bend_the_mean():
    whole = [Seed("done", np.array([4.0, 3.0, 2.0])), Seed("done", np.array([6.0, 5.0, 4.0]))]
    failed = Seed("failed", np.array([90.0]))
    assert mean_curve([*whole, failed]).tolist() == [5.0, 4.0, 3.0]
    running = [Seed("running", np.array([4.0, 3.0])), Seed("running", np.array([6.0]))]
    assert mean_curve(running).tolist() == [5.0]


@pytest.mark.parametrize(("epochs", "width"), [(1, 1), (199, 1), (200, 3), (800, 9)])
def test_long_curves_are_smoothed_over_a_hundredth(epochs, width):
    assert smoothing(epochs) == width


def test_norms_are_means_over_seeds_in_the_networks_order(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, cell(seed=seed), [0.5] * 3, layers=11)
    (group,) = variants(collect(tmp_path))
    found = mean_norms(group, tmp_path)
    assert list(dict.fromkeys(found["path"])) == [f"layer{number}.conv" for number in range(1, 12)]
    assert len(found) == 33
    each = [mean_norms([row], tmp_path)["weight_norm"] for row in group]
    assert found["weight_norm"].tolist() == pytest.approx(((each[0] + each[1]) / 2).tolist())


def test_drawing_leaves_matplotlib_as_it_was(study, tmp_path):
    program = f"""
import sys, matplotlib
from pathlib import Path
def settings():  # asking for the backend would choose one
    return {{key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}}
before = settings()
from scs_study.analysis.collect import collect
from scs_study.analysis.plots.curves import curves
runs = Path({str(study[0])!r})
assert curves(collect(runs), runs, runs.parent / "figures")
assert settings() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


@pytest.mark.parametrize("ends", [(2.9, 70.0), (1e-4, 600.0), (0.02, 0.9), (1e3, 1e7)])
def test_ticks_of_a_logarithmic_axis_are_plain_numbers(ends):
    with our_style():
        figure = new_figure(3, 3)
        axes = figure.subplots()
        axes.plot([0, 1], ends)
        logarithmic(axes)
        figure.draw_without_rendering()
        words = [label.get_text() for which in ("major", "minor") for label in axes.yaxis.get_ticklabels(which=which)]
    shown = [float(text) for text in words if text]
    assert sum(ends[0] <= number <= ends[1] for number in shown) >= 2


def test_signs_that_the_font_lacks_are_one_note_and_no_warning(tmp_path, capsys):
    with our_style():
        figure = new_figure(2.0, 2.0)
        figure.suptitle("\u65e5\u672c \u8a9e")
        paths = save(figure, tmp_path, "lacking")
    assert all(path.exists() for path in paths)
    assert capsys.readouterr().err.count("lacking: its font lacks some signs") == 1
