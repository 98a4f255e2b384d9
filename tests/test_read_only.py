"""Places where nothing can be written or read: what can be done there is done, and the rest is one sentence."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scs_study.analysis.collect import collect
from scs_study.analysis.robustness import report as robustness
from scs_study.analysis.saliency import report as saliency
from scs_study.evaluation import cache
from scs_study.evaluation.saliency.settings import MapSettings, SaliencySettings
from scs_study.experiments.compose import PROJECT
from scs_study.launch import code_snapshot
from scs_study.launch.code_snapshot import make_submission
from scs_study.runs.context import RunContext
from scs_study.runs.run_one import run_cell
from scs_study.runs.state import run_states
from scs_study.runs.validate import is_complete
from scs_study.system import files
from scs_study.system.tensors import load_tensors
from scs_study.training import run_dir as run_folder
from tests.analysis.robustness.test_robustness_runs import settings
from tests.support import commands
from tests.support.work import cell, run_context

ROOT = os.geteuid() == 0
MAPS = SaliencySettings(MapSettings(), 10, 0.05, 10, 3, 5, 0, 0.0, False, (3, 14), "map")


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A context in which nothing can be written below the folder, by nobody: root is no exception on a mount."""
    if ROOT:
        where = str(folder)
        if subprocess.run(["mount", "--bind", where, where], capture_output=True).returncode:
            pytest.skip("needs the right to mount (root)")
        subprocess.run(["mount", "-o", "remount,ro,bind", where], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", where], check=True)
        return
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is done."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    assert run_cell(cell("scs"), run_context(runs)).state == "done"
    return runs


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "runs")
    return tmp_path / "runs"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_runs_that_may_only_be_read_are_looked_at_and_published(runs: Path, tmp_path: Path) -> None:
    """Every command that is for looking, as it is typed: status, tables, figures, saliency, attacks."""
    before = everything(runs)
    with read_only(runs):
        assert is_complete(runs, cell("scs"))
        assert run_cell(cell("scs"), run_context(runs)).state == "done"
        assert run_states(runs, [cell("scs")])[cell("scs").run_name].final
        for script in ("tables.py", "figures.py"):
            done = commands.run(script, "match=*", f"runs={runs}", f"results={tmp_path}/r")
            assert (done.returncode, done.stderr) == (0, "")
    assert everything(runs) == before
    assert list((tmp_path / "r" / "matched" / "tables").glob("*.csv"))
    assert list((tmp_path / "r" / "matched" / "figures").glob("*.png"))


@pytest.mark.parametrize("kind", ["saliency", "robustness"])
def test_analyses_of_read_only_runs_are_those_of_others_but_cached_nowhere(
    kind: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def analyse(results: Path) -> list[str]:
        frame = collect(runs, [cell("scs").run_name])
        if kind == "saliency":
            problems = saliency.compute(frame, run_context(runs), MAPS)
            saliency.report(frame, run_context(runs), MAPS, results)
        else:
            problems = robustness.compute(frame, run_context(runs), settings(checks=["apgd_ce"]))
            robustness.report(frame, runs, settings(checks=["apgd_ce"]), results)
        return problems

    with read_only(runs):
        assert analyse(tmp_path / "first") == []
        error = capsys.readouterr().err
        assert error.startswith(f"{kind}: nothing can be cached in the folders in {runs} (")
        assert error.count("\n") == 1
        assert analyse(tmp_path / "second") == [], "what is known in this process is not computed again"
    cache._UNWRITTEN.clear()
    assert analyse(tmp_path / "third") == []
    # What readers see: the CSV of the attacks says how fast they were, too.
    tables = [sorted((tmp_path / name / "tables").glob("*.md")) for name in ("first", "second", "third")]
    first, second, third = ([path.read_text() for path in paths] for paths in tables)
    assert first
    assert first == second == third


def test_a_damaged_result_of_read_only_runs_is_computed_again_and_left_there(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = collect(runs, [cell("scs").run_name])
    saliency.compute(frame, run_context(runs), MAPS)
    robustness.compute(frame, run_context(runs), settings(checks=[]))
    for path in [*runs.glob("*/saliency/measures-*"), *runs.glob("*/robustness/pgd-*.jsonl")]:
        path.write_bytes(b"\0" + path.read_bytes()[1:])
    capsys.readouterr()
    with read_only(runs):
        assert saliency.compute(frame, run_context(runs), MAPS) == []
        assert robustness.compute(frame, run_context(runs), settings(checks=[])) == []
        assert saliency.report(frame, run_context(runs), MAPS, tmp_path / "r")
        assert robustness.report(frame, runs, settings(checks=[]), tmp_path / "r")
    error = capsys.readouterr().err
    assert "saliency/measures-" in error
    assert "robustness/pgd-" in error
    assert error.count("left there (") == 2
    cache._UNWRITTEN.clear()


def test_a_study_that_cannot_be_written_ends_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    weights = tmp_path / "weights.pt"
    torch.save({"w": torch.ones(1)}, weights)
    with read_only(tmp_path / "runs"):
        for more in (["-m", "seed=0,1"], ["layer=conv", "init=pretrained", f"init.checkpoint={weights}"]):
            done = commands.run("train.py", *more, f"runs={tmp_path}/runs")
            assert done.returncode in (1, 2)
            assert done.stderr.count("\n") == 1, done.stderr
            assert done.stderr.startswith("error: ")


@pytest.mark.skipif(not ROOT, reason="needs to be somebody else in turn (root)")
def test_files_of_somebody_else_are_no_damage(runs: Path) -> None:
    """Weights that may not be read may be as good as ever: nothing is moved, and nothing is computed in their place."""
    folder = runs / cell("scs").run_name
    (folder / run_folder.WEIGHTS).chmod(0o600)
    for path in (folder, *folder.parents):
        if path.owner() == "root" and path != Path("/"):
            path.chmod(path.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    folder.chmod(0o777)
    before = everything(folder)
    code = f"""
import os
from pathlib import Path
from tests.support.work import cell, run_context
from scs_study.runs.run_one import run_cell
from scs_study.evaluation.trained import load_trained
from tests.gates import PATIENCE
runs = Path({str(runs)!r})
where = run_context(runs)
os.setgid(65534); os.setuid(65534)
outcome = run_cell(cell("scs"), where)
assert outcome.state == "failed", outcome
assert outcome.message == f"{{runs}}/{{cell('scs').run_name}}/weights.safetensors cannot be read: Permission denied"
try:
    load_trained(runs / cell("scs").run_name)
except ValueError as error:
    assert "weights.safetensors cannot be read" in str(error)
else:
    raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert everything(folder) == before


def test_a_file_that_is_not_there_is_told_from_one_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_tensors(tmp_path / "none.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError):
        load_tensors(tmp_path / "file" / "none.safetensors")
    with pytest.raises(ValueError, match="is damaged"):
        load_tensors(tmp_path)


UMASKS = [(0o077, 0o600, 0o700), (0o002, 0o664, 0o775), (0o022, 0o644, 0o755)]


@pytest.mark.parametrize(("umask", "mode", "folders"), UMASKS, ids=[f"{umask[0]:03o}" for umask in UMASKS])
def test_whom_files_are_for_is_for_the_umask_to_say(umask: int, mode: int, folders: int, tmp_path: Path) -> None:
    """Of a run, its analyses and its tables, every file and every folder."""
    before = os.umask(umask)
    try:
        base = tmp_path / "base"
        where: RunContext = run_context(base / "runs")
        assert run_cell(cell("scs", epochs=2), where).state == "done"
        frame = collect(where.runs, [cell("scs", epochs=2).run_name])
        saliency.compute(frame, where, replace(MAPS, randomised=0))
        saliency.report(frame, where, replace(MAPS, randomised=0), base / "results")
        robustness.compute(frame, where, settings(checks=[]))
        robustness.report(frame, where.runs, settings(checks=[]), base / "results")
        make_submission(where.runs, "study", [[cell()]], {})
    finally:
        os.umask(before)
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in base.rglob("*")}
    leases = [path for path in found if path.name.startswith("lease-")]
    assert leases
    wrong = {str(path): oct(bits) for path, bits in found.items() if bits != (folders if path.is_dir() else mode)}
    assert wrong == {}


def test_a_submission_of_a_read_only_checkout_can_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "checkout"
    for part in ("scs_study", "conf"):
        shutil.copytree(PROJECT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    for path in checkout.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setattr(code_snapshot, "PACKAGE", checkout / "scs_study")
    monkeypatch.setattr(code_snapshot, "CONF", checkout / "conf")
    submission = make_submission(tmp_path / "runs", "study", [[cell()]], {})
    copy = submission.folder / "code"
    assert {path.relative_to(copy) for path in copy.rglob("*.py")} == {
        path.relative_to(checkout) for path in checkout.rglob("*.py")
    }
    assert all(path.stat().st_mode & stat.S_IWUSR for path in submission.folder.rglob("*"))
    for path in checkout.rglob("*"):
        path.chmod(0o755)


def test_an_error_names_the_file_that_people_know(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with read_only(tmp_path / "folder"), pytest.raises(OSError, match=r"folder/table\.csv"):
        files.write_text(tmp_path / "folder" / "table.csv", "")


def test_numbers_of_an_unwritten_result_are_those_of_a_written_one(tmp_path: Path) -> None:
    result, folder = ({"x": torch.arange(3.0)}, {"n": 1}), tmp_path / "run" / "saliency"
    (tmp_path / "run").mkdir()
    with read_only(tmp_path / "run"):
        cache.store_result(folder, "part", {"a": 1}, result)
        unwritten = cache.load_result(folder, "part", {"a": 1})
    cache._UNWRITTEN.clear()
    assert cache.load_result(folder, "part", {"a": 1}) is None
    cache.store_result(folder, "part", {"a": 1}, result)
    written = cache.load_result(folder, "part", {"a": 1})
    assert unwritten is not None
    assert written is not None
    assert np.array_equal(unwritten[0]["x"], written[0]["x"])
    assert unwritten[1] == written[1]
