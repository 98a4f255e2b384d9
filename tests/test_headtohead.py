"""docs/headtohead.md does what it says: one command, from a folder of images and a network to a verdict."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from scs_study.system import files
from tests.pages import followed


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, after the page was followed: its last block refuses all that it says is refused."""
    return followed("headtohead.md", tmp_path_factory.mktemp("page") / "checkout")


def table(copy: Path, kind: str) -> list[dict[str, str]]:
    (path,) = (copy / "results").glob(f"headtohead-*/tables/headtohead-*-{kind}.csv")
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_twins_start_from_common_weights_and_nothing_refused_has_left_a_run(copy: Path) -> None:
    results = [files.read_json(path) for path in sorted((copy / "runs").glob("*/result.json"))]
    assert len(results) == 6
    assert len({result["shared_checksum"] for result in results}) == 3
    assert len(list((copy / "runs").glob("*/config.json"))) == 6


@pytest.mark.slow
def test_the_paired_table_is_what_the_runs_end_with(copy: Path) -> None:
    ends: dict[tuple[str, str], float] = {}
    for run in (copy / "runs").glob("tiny-*"):
        config = files.read_json(run / "config.json")
        assert config["norm"] == "batchnorm"  # as the network is built
        last = files.read_lines(run / "history.jsonl")[-1]
        ends[config["layer"]["name"], str(config["seed"])] = 100 * last["test_accuracy"]
    rows = table(copy, "pairs")
    assert [row["seed"] for row in rows] == ["0", "1", "2", "mean"]
    for row in rows[:-1]:
        assert math.isclose(float(row["challenger %"]), ends["scs", row["seed"]], abs_tol=1e-4)
        assert math.isclose(float(row["baseline %"]), ends["conv", row["seed"]], abs_tol=1e-4)
    differences = [float(row["difference"]) for row in rows]
    assert math.isclose(differences[-1], sum(differences[:-1]) / 3, abs_tol=1e-9)


@pytest.mark.slow
def test_classes_weighed_by_their_images_make_the_accuracy(copy: Path) -> None:
    rows = table(copy, "classes")
    images = [int(row["test images"]) for row in rows]
    together = sum(n * float(row["challenger %"]) for n, row in zip(images, rows, strict=True)) / sum(images)
    assert math.isclose(together, float(table(copy, "pairs")[-1]["challenger %"]), abs_tol=1e-6)


@pytest.mark.slow
def test_the_page_has_a_verdict_and_figures_that_exist(copy: Path) -> None:
    (page,) = (copy / "results").glob("headtohead-*/headtohead.md")
    text = page.read_text()
    assert "preliminary" in text  # three seeds
    figures = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert any("saliency" in figure for figure in figures)
    assert all((page.parent / figure).is_file() for figure in figures)
