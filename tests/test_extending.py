"""docs/extending.md does what it says: its files are written, its lines added, its commands typed, in a copy of this
checkout that nobody else sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from scs_study.system import files
from tests.pages import followed


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, after the page was followed from its top to its end."""
    return followed("extending.md", tmp_path_factory.mktemp("page") / "checkout")


def runs(folder: Path) -> dict[str, Path]:
    """The finished runs on digits and of the project outside, by architecture, layer and objective."""
    found = {}
    for run in folder.iterdir():
        if (run / "result.json").exists() and "small-bounded-none-maxabs-folder" not in run.name:
            config = files.read_json(run / "config.json")
            found[f"{config['arch']} {config['layer']['name']} {config.get('objective', '-')}"] = run
    return found


@pytest.mark.slow
def test_what_was_added_trains_in_all_combinations(copy: Path) -> None:
    layers, objectives = ("conv", "bounded", "wang"), ("-", "pair")
    assert {f"small {layer} {objective}" for layer in layers for objective in objectives} <= runs(copy / "runs").keys()


@pytest.mark.slow
def test_a_layer_of_ones_own_is_recorded_and_tabled_with_its_options(copy: Path) -> None:
    found = runs(copy / "runs")
    (line,) = files.read_lines(found["small bounded -"] / "layers.jsonl")
    assert all(isinstance(record["gain"], float) for record in line["layers"].values())
    config = files.read_json(found["small bounded -"] / "config.json")
    assert config["layer"]["options"] == {"gain": 1.0}
    assert config["code"].keys() == {"arch", "layer"}
    for layer in ("conv", "bounded", "wang"):
        assert layer in (copy / "results/mine/tables/mine.csv").read_text()


@pytest.mark.slow
def test_an_analysis_follows_the_runs_of_a_study_that_names_it(copy: Path) -> None:
    (table,) = (copy / "results").glob("mine*/tables/parameters.md")
    assert "How large networks are." in table.read_text()


@pytest.mark.slow
def test_an_objective_of_two_networks_keeps_both(copy: Path) -> None:
    run = runs(copy / "runs")["small bounded pair"]
    (line,) = files.read_lines(run / "layers.jsonl")
    assert {path.partition(".")[0] for path in line["layers"]} == {"first", "second"}
    assert files.read_json(run / "config.json")["code"].keys() == {"arch", "layer", "objective"}


@pytest.mark.slow
def test_a_folder_of_seven_classes_is_a_data_set(copy: Path) -> None:
    (run,) = [run for name, run in all_runs(copy / "runs") if "folder_48x40" in name]
    data = files.read_json(run / "config.json")["data"]
    assert (data["num_classes"], data["image_size"]) == (7, [48, 40])


def all_runs(folder: Path) -> list[tuple[str, Path]]:
    return [(run.name, run) for run in folder.iterdir() if (run / "result.json").exists()]


@pytest.mark.slow
def test_a_project_outside_brings_a_network_a_layer_an_objective_data_and_a_study(copy: Path) -> None:
    found = runs(copy / "project/runs")
    assert found.keys() == {"mynet_w8 scaled cautious", "mynet_w8 scs cautious"}
    config = files.read_json(found["mynet_w8 scaled cautious"] / "config.json")
    assert config["targets"] == {
        "arch": "my_project.nets.my_net",
        "layer": "my_project.layers.Scaled",
        "objective": "my_project.objectives.Cautious",
    }
    assert config["code"].keys() == config["targets"].keys()
    (table,) = (copy / "project/results").glob("ours*/tables/ours.csv")
    assert "scaled" in table.read_text()
    assert len(table.with_name("sizes.csv").read_text().splitlines()) == 3
