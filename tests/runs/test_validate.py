"""Damaged files are noticed, set aside with a sentence, and what they said is computed again, to the same bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.run_one import run_cell
from scs_study.runs.state import INITIAL
from scs_study.runs.validate import is_complete
from scs_study.system import files
from scs_study.training import checkpoint
from scs_study.training.run_dir import CONFIG, EPOCHS, HISTORY, LAYERS, RESULT, STATUS, STEPS, WEIGHTS
from scs_study.training.stopping import Interrupted
from tests.support.work import SCS, cell, content, run_context


def halfway(runs: Path, epochs: int = 2) -> Path:
    """The folder of a run that was stopped after `epochs` epochs."""
    seen: list[Any] = []
    with pytest.raises(Interrupted):
        run_cell(SCS, run_context(runs), lambda: len(seen) >= epochs, seen.append)
    return runs / SCS.run_name


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder in which the run of SCS was stopped after two epochs; for copies."""
    runs = tmp_path_factory.mktemp("stopped")
    halfway(runs)
    return runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder in which the run of SCS is done; for copies."""
    runs = tmp_path_factory.mktemp("finished")
    run_cell(SCS, run_context(runs))
    return runs


def copy(runs: Path, to: Path) -> Path:
    """The folder of SCS's run in a copy of the runs folder."""
    shutil.copytree(runs, to, dirs_exist_ok=True)
    return to / SCS.run_name


DAMAGES = {
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    # The newline: of a thousand random bytes one in sixty times none is, and one line that never ended is no damage.
    "overwritten": lambda path: path.write_bytes(os.urandom(path.stat().st_size - 1) + b"\n"),
    "one byte": lambda path: path.write_bytes(path.read_bytes()[:-40] + b"\xff" + path.read_bytes()[-39:]),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name",
    [
        CONFIG,
        STATUS,
        HISTORY,
        LAYERS,
        STEPS,
        PROVENANCE,
        checkpoint.NAME,
    ],
)
def test_a_damaged_file_of_an_unfinished_run_is_set_aside_and_the_result_is_the_same(
    tmp_path: Path,
    stopped: Path,
    undisturbed: dict[str, Any],
    name: str,
    damage: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = copy(stopped, tmp_path)
    DAMAGES[damage](folder / name)
    assert run_cell(SCS, run_context(tmp_path)).state == "done"
    assert content(folder) == undisturbed
    said = capsys.readouterr().out
    lines = (*EPOCHS, PROVENANCE)
    if not (name == PROVENANCE and damage in ("cut", "empty")):  # one line that was never finished is no damage
        assert f"{name} " in said or f"{name}," in said, said
        assert list(folder.glob(f"{name}.damaged-1")) or (name in lines and damage == "empty"), said


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name",
    [CONFIG, STATUS, *EPOCHS, RESULT, WEIGHTS, PROVENANCE],
)
def test_a_damaged_file_of_a_finished_run_is_noticed_and_the_run_made_whole(
    tmp_path: Path, finished: Path, undisturbed: dict[str, Any], name: str, damage: str
) -> None:
    where = run_context(tmp_path)
    folder = copy(finished, tmp_path)
    DAMAGES[damage](folder / name)
    if name == PROVENANCE and damage in ("cut", "empty"):
        return
    assert not is_complete(tmp_path, SCS)
    assert run_cell(SCS, where).state == "done"
    assert is_complete(tmp_path, SCS)
    assert content(folder) == undisturbed
    computed_again = len(files.read_lines(folder / PROVENANCE)) > (0 if name == PROVENANCE else 1)
    assert computed_again == (name in (*EPOCHS, RESULT, WEIGHTS))


def test_a_folder_of_another_version_is_set_aside_with_a_sentence(
    tmp_path: Path, finished: Path, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    where = run_context(tmp_path)
    folder = copy(finished, tmp_path)
    files.write_json(folder / CONFIG, {**SCS.identity(), "format": 0})
    assert not is_complete(tmp_path, SCS)
    assert run_cell(SCS, where).state == "done"
    assert "format 0: written by another version of this project" in capsys.readouterr().out
    assert (folder / f"{WEIGHTS}.damaged-1").exists()
    assert content(folder) == undisturbed


def test_a_renamed_folder_is_not_believed(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    other = cell("conv")
    run_cell(other, run_context(tmp_path))
    (tmp_path / other.run_name).rename(tmp_path / SCS.run_name)
    assert run_cell(SCS, run_context(tmp_path)).state == "done"
    assert content(tmp_path / SCS.run_name) == undisturbed


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_initial_weights_are_drawn_again_and_are_the_same(
    tmp_path: Path, undisturbed: dict[str, Any], damage: str
) -> None:
    halfway(tmp_path, 1)
    (initial,) = (tmp_path / INITIAL).glob("*.safetensors")
    DAMAGES[damage](initial)
    assert run_cell(SCS, run_context(tmp_path)).state == "done"
    assert content(tmp_path / SCS.run_name) == undisturbed
    assert (tmp_path / INITIAL / f"{initial.name}.damaged-1").exists()
