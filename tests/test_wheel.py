"""The installed package does in somebody else's project what it does in a checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scs_study.experiments.compose import compose_cell
from scs_study.experiments.grid import load_study, plan
from scs_study.system.places import PROJECT
from tests.gates import PATIENCE

USE = """
from pathlib import Path

import torch

from scs_study.system import places
from scs_study.analysis.paper import paper_table
from scs_study.experiments.compose import compose_cell, groups, options
from scs_study.system.places import below_project
from scs_study.experiments.grid import load_study, plan
from scs_study.launch.inline import inline
from scs_study.launch.code_snapshot import CODE, make_submission
from scs_study.runs.context import RunContext
from scs_study.training.run import Settings

assert places.INSTALLED and places.PACKAGE.parent == Path({site!r}), places.PACKAGE
choices = {{"arch": "rohrer68k", "layer": "conv", "activation": "relu", "pooling": "max"}}
cell = compose_cell(choices, {{"train.epochs": 1, "train.batch_size": 256}}, seed=0)
print(cell.run_name)
print(*(cell.run_name for cell in plan(load_study("table3"))))
print(*groups())
print(len(paper_table("table3")), below_project("runs"))
place = RunContext(Path("runs"), Settings(torch.device("cpu")), None, Path("data/.cache"))
print(inline([cell], place)[cell.run_name].state)
frozen = make_submission(Path("runs").resolve(), "t", [[cell]], {{}})
inside = {{path.name for path in (frozen.folder / CODE / "scs_study").iterdir()}}
print(*sorted(inside & {{"conf", "experiments"}}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the built wheel in it; a wheel of Python alone is installed by unpacking it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True, timeout=PATIENCE)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    return folder / "site-packages"


def python(code: str, site: Path, where: Path) -> str:
    """What `code` prints in a Python that has the wheel's package first."""
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=where, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_cells_studies_and_runs_work_from_another_folder(site: Path, tmp_path: Path) -> None:
    lines = python(USE.format(site=str(site)), site, tmp_path).splitlines()
    small = {"train.epochs": 1, "train.batch_size": 256}
    choices = {"arch": "rohrer68k", "layer": "conv", "activation": "relu", "pooling": "max"}
    assert lines[0] == compose_cell(choices, small, 0).run_name
    assert lines[1].split() == [cell.run_name for cell in plan(load_study("table3"))]
    assert lines[2].split() == sorted(path.name for path in (PROJECT / "conf").iterdir() if path.is_dir())
    assert lines[3] == f"10 {tmp_path / 'runs'}"
    assert lines[-2:] == ["done", "conf experiments"]
    assert list(tmp_path.glob("runs/rohrer68k-*/result.json"))


@pytest.mark.parametrize(
    ("page", "opening"), [("README.md", "from scs_study.layers import"), ("docs/extending.md", "import torchvision")]
)
def test_the_python_of_the_pages_runs_there(page: str, opening: str, site: Path, tmp_path: Path) -> None:
    text = (PROJECT / page).read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if block.startswith(opening)]
    python(code, site, tmp_path)


def test_everything_that_a_checkout_has_is_in_the_wheel(site: Path) -> None:
    for source, inside in (("conf", "conf"), ("results/paper", "results/paper"), ("scs_study", ".")):
        for path in (PROJECT / source).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                packed = site / "scs_study" / inside / path.relative_to(PROJECT / source)
                assert packed.read_bytes() == path.read_bytes()
