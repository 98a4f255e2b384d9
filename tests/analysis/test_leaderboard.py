"""The leaderboard: whose runs count, what meets a bar, and a page that is written from run folders and entries."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from scs_study.analysis.collect import collect
from scs_study.analysis.leaderboard import Ours, frontier, ours_of, page_text, read_settings
from scs_study.runs.archive import RECORDS, unpack
from scs_study.system.places import CONF, PROJECT
from tests.analysis.run_folders import cell, write_run
from tests.support import commands


def entry(parameters: int, *accuracies: float) -> Ours:
    return Ours("mnist", parameters, "net", accuracies)


def settings() -> dict[str, object]:
    values = OmegaConf.to_container(OmegaConf.load(CONF / "leaderboard.yaml"))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


@pytest.mark.parametrize(
    ("accuracies", "met"),
    [
        ((99.2, 99.3, 99.25), "the interval"),
        ((98.9, 99.3, 99.25), "the mean"),
        ((98.0, 98.5, 99.0), "the best seed only"),
        ((98.0, 98.5, 98.99), "-"),
        ((99.5,), "its one seed"),
        ((98.5,), "-"),
        ((99.4, 99.5), "the mean"),  # two seeds have no interval
    ],
)
def test_what_meets_a_bar(accuracies: tuple[float, ...], met: str) -> None:
    assert entry(900, *accuracies).met_by(99) == met


def test_the_interval_is_students_of_the_seeds() -> None:
    low, high = entry(900, 98.0, 98.5, 99.0).interval
    half = 4.302652729911275 * 0.5 / math.sqrt(3)
    assert (low, high) == (pytest.approx(98.5 - half), pytest.approx(98.5 + half))


def test_the_frontier_has_no_network_that_a_smaller_one_equals() -> None:
    small, equal, larger, worse = entry(500, 97.0), entry(600, 97.0), entry(700, 98.0), entry(700, 97.9)
    assert frontier([worse, larger, equal, small]) == [small, larger]


def test_runs_count_by_their_last_epoch_their_recipe_and_their_own_test_images(tmp_path: Path) -> None:
    for seed, accuracies in enumerate(([0.97, 0.95, 0.90], [0.5, 0.6, 0.8])):
        write_run(tmp_path, cell(seed=seed), list(accuracies))  # an epoch that was chosen by the test images is none
    write_run(tmp_path, cell(train__max_lr=0.02), [0.1, 0.2, 0.3])
    write_run(tmp_path, cell(seed=2), [0.9], state="interrupted")
    write_run(tmp_path, cell(init="pretrained"), [0.9, 0.9, 0.99])
    write_run(tmp_path, cell(data__name="mnist", data__test_share=0.1, data__split_seed=0), [0.9, 0.9, 0.99])
    found = ours_of(collect(tmp_path))
    assert [(each.dataset, sorted(each.accuracies)) for each in found if each.dataset == "digits"] == [
        ("digits", [pytest.approx(80.0), pytest.approx(90.0)]),
        ("digits", [pytest.approx(30.0)]),
    ]
    assert {each.dataset for each in found} == {"digits", "mnist_held_out"}
    datasets, published = read_settings(settings())
    assert "99.00" not in page_text(datasets, published, found)


def test_the_page_has_every_entry_with_its_source_and_says_what_has_not_been_run() -> None:
    datasets, published = read_settings(settings())
    page = page_text(datasets, published, [entry(800, 98.9, 99.3, 99.25), entry(700, 98.0)])
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for each in published:
        assert any(f" {each.parameters:,} " in row and each.source.split(",")[0] in row for row in rows)
    mnist = page[: page.index("## Fashion-MNIST")]
    assert mnist.index(" 800 ") < mnist.index(" 910 ") < mnist.index(" 1,398 "), "fewest parameters first"
    assert "700" in mnist.split("### Our frontier on MNIST")[1]
    assert "No run of Fashion-MNIST is finished here" in page


def test_an_entry_for_a_bar_that_is_not_there_is_refused() -> None:
    values = settings()
    wrong = {"dataset": "mnist", "bar": 98, "parameters": 10, "model": "m", "source": "s"}
    with pytest.raises(ValueError, match=r"published\[0\]\.bar=98: mnist has the bars 99"):
        read_settings({**values, "published": [wrong]})


def test_the_sources_test_net_reaches_what_its_file_prints(tmp_path: Path) -> None:
    """93.84 % after three epochs (systems.md 3), from the published runs, not from one seed that was picked."""
    unpack(PROJECT / "results" / "test_mnist" / RECORDS, tmp_path)
    (net,) = [each for each in ours_of(collect(tmp_path)) if each.model.startswith("test_mnist, scs")]
    assert net.parameters == 1_233
    assert len(net.accuracies) >= 3
    assert net.interval[0] <= 93.84 <= net.interval[1]
    assert all(abs(accuracy - 93.84) < 1.5 for accuracy in net.accuracies)


def test_the_command_writes_the_page_anew_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- leaderboard -->\nold\n<!-- end -->\nbelow\n")
    write_run(tmp_path / "runs", cell(data__name="mnist", data__flip=False), [0.97, 0.98, 0.9951])

    for each in (page, tmp_path / "another.md"):
        assert commands.run("leaderboard.py", f"runs={tmp_path / 'runs'}", f"page={each}").returncode == 0
    written = page.read_text()
    assert (tmp_path / "another.md").read_text() in written.replace("above\n", "").replace("below\n", "")
    assert written.startswith("above\n<!-- leaderboard -->\n")
    assert written.endswith("<!-- end -->\nbelow\n")
    assert "old" not in written
    (row,) = [line for line in written.split("## Fashion-MNIST")[0].splitlines() if "99.51" in line and "this" in line]
    assert "its one seed" in row
