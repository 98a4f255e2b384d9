"""A study and single runs, computed by the commands as a user types them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from scs_study.experiments.grid import load_study, plan
from tests.test_command import HERE, QUICK, command

Replicated = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Replicated:
    """One cell of the study quick, computed by the real command."""
    folder = tmp_path_factory.mktemp("replicated")
    done = command("replicate.py", "study=quick", *QUICK, f"runs={folder}/runs", f"results={folder}/results")
    return folder, done


def test_replicate_prints_progress_the_table_and_where_its_files_are(
    replicated: Replicated,
) -> None:
    folder, done = replicated
    assert done.returncode == 0, done.stderr
    assert "1 cells, 0 done already" in done.stdout
    assert "[1/1] rohrer25k-conv-relu-max-digits-1ep-s0  epoch 1/1  test accuracy 0." in done.stdout
    assert "0.7609" in done.stdout or "76.09" in done.stdout  # the paper's number stands beside ours
    # A study with overrides is another set of cells, and leaves what was published under the study's name alone.
    results = folder / "results" / "quick-activation=relu-layer=conv-pooling=max-seed=0-train.epochs=1"
    for form in ("csv", "md", "tex"):
        assert f"{results}/tables/table3.{form}" in done.stdout
        assert (results / "tables" / f"table3.{form}").stat().st_size > 0
    assert list((results / "figures").glob("*.png"))
    assert "Warning" not in done.stderr


def test_what_is_done_is_not_done_again(replicated: Replicated) -> None:
    folder, _ = replicated
    (run,) = (folder / "runs").glob("rohrer25k-*")
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    again = command("replicate.py", "study=quick", *QUICK, f"runs={folder}/runs", f"results={folder}/results")
    assert again.returncode == 0, again.stderr
    assert "1 cells, 1 done already" in again.stdout
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_train_is_a_hydra_multirun_into_the_same_folders(replicated: Replicated) -> None:
    folder, _ = replicated
    multirun = command(
        "train.py", "-m", "arch=rohrer25k", "layer=conv", "activation=relu", "pooling=max,maxabs", "data=digits",
        *HERE, f"runs={folder}/runs",
    )  # fmt: skip
    assert multirun.returncode == 0, multirun.stderr
    expected = {cell.run_name for cell in plan(load_study("quick"), {"layer": "conv", "train.epochs": 1, "seed": 0})}
    assert {path.name for path in (folder / "runs").glob("rohrer25k-*")} == expected
    status = command("status.py", "study=quick", "layer=conv", "train.epochs=1", "seed=0", f"runs={folder}/runs")
    assert "2 cells: 2 done" in status.stdout
    records = json.loads(
        command(
            "replicate.py", "study=quick", "plan=json", "layer=conv", "train.epochs=1", f"runs={folder}/runs"
        ).stdout
    )
    assert sorted((record["seed"], record["state"]) for record in records) == [
        (0, "done"), (0, "done"), (1, "missing"), (1, "missing"),
    ]  # fmt: skip


def test_a_wrong_cell_of_a_multirun_is_refused_before_the_first_one_runs(tmp_path: Path) -> None:
    done = command("train.py", "-m", "layer=conv,scs", "layer.p=2.0", f"runs={tmp_path}/runs")
    assert done.returncode == 2
    assert done.stderr.startswith("error: layer.p")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_missing_data_is_one_sentence_that_says_where_it_was_looked_for(tmp_path: Path) -> None:
    done = command("replicate.py", "study=cifar10_short", f"data.root={tmp_path}/nowhere", f"runs={tmp_path}/runs")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert f"{tmp_path}/nowhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("runs/rohrer*"))


def test_show_results_works_on_a_pattern_of_runs(replicated: Replicated) -> None:
    folder, _ = replicated
    where = [f"runs={folder}/runs", f"results={folder}/shown"]
    shown = command("show_results.py", "match=rohrer25k-conv-relu-max-*", *where)
    assert shown.returncode == 0, shown.stderr
    assert list((folder / "shown/matched/figures").glob("*.png"))
    nothing = command("show_results.py", "match=resnet*", f"runs={folder}/runs")
    assert nothing.returncode == 2
    assert nothing.stderr.startswith("error: match=resnet*: no run in")
    nothing = command("show_results.py", "match=/[(ab)]", f"runs={folder}/runs")
    assert nothing.stderr.startswith("error: match=/[(ab)]: must be a pattern of run names")


def test_there_are_no_tables_of_a_study_that_has_not_started(tmp_path: Path) -> None:
    done = command("tables.py", "study=quick", f"runs={tmp_path}/runs", f"results={tmp_path}/results")
    assert done.returncode == 2
    assert done.stderr.startswith("error: none of the study's 20 runs has started in")
    assert not (tmp_path / "results").exists()
