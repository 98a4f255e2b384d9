"""Every command runs the code and the configs of the checkout that it lies in, wherever that was moved and whoever else
has something of that name; and draws whatever a notebook says."""

from __future__ import annotations

import hashlib
import importlib.abc
import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from scs_study.system.places import PROJECT
from tests.gates import PATIENCE

SCRIPTS = sorted((PROJECT / "scripts").glob("*.py"))
MINE = "mine"
"""A study that only one of two checkouts has."""
NOTEBOOK = "module://matplotlib_inline.backend_inline"
"""What Jupyter and Colab say to whatever is started from a cell: only their own Python has it."""


class _Found(Exception):
    pass


class _Look(importlib.abc.MetaPathFinder):
    """Ends the import of scs_study, as soon as it comes, with what sys.path says then, and of anything drawn before."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "scs_study":
            raise _Found(sys.path[0])
        assert name not in ("matplotlib", "optuna", "hydra"), f"{name} is imported before the environment is settled"
        return None


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_every_command_looks_for_its_own_code_first(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("scs_study", "hydra", "optuna")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", ["/another", *sys.path])
    monkeypatch.setattr(sys, "meta_path", [_Look(), *sys.meta_path])
    with pytest.raises(_Found) as found:
        runpy.run_path(str(script), run_name="imported")
    assert found.value.args == (str(PROJECT),)
    assert "\nenvironment.settle()\n" in script.read_text()


def run(command: Sequence[str | Path], where: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    environment |= {"OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        [str(word) for word in command], cwd=where, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )


@pytest.fixture
def somebody_elses(tmp_path: Path) -> Path:
    """A folder with another package of our name, which nobody may import."""
    (tmp_path / "else" / "scs_study").mkdir(parents=True)
    (tmp_path / "else" / "scs_study" / "__init__.py").write_text("raise RuntimeError('somebody else wrote this')\n")
    return tmp_path / "else"


@pytest.mark.slow
def test_processes_of_a_command_run_its_code_and_figures_are_drawn(somebody_elses: Path, tmp_path: Path) -> None:
    """The fork server looks in the working folder first, which here holds another scs_study, as PYTHONPATH does."""
    cells = ["layer=conv", "activation=relu", "pooling=max", "train.epochs=1", "train.batch_size=256", "seed=0"]
    where = [f"runs={tmp_path}/runs", f"results={tmp_path}/results", "engine.device=cpu", "launch=pool"]
    command = [sys.executable, PROJECT / "scripts/replicate.py", *cells, *where, "launch.workers=1"]
    done = run(command, somebody_elses, PYTHONPATH=str(somebody_elses), MPLBACKEND=NOTEBOOK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "somebody else" not in done.stdout + done.stderr
    assert list((tmp_path / "results").glob("*/figures/*.png"))


def test_a_sweep_draws_whatever_a_notebook_says(tmp_path: Path) -> None:
    """Optuna imports matplotlib as soon as it is imported itself."""
    command = [sys.executable, PROJECT / "scripts/sweep.py", "sweep.trials=0", f"runs={tmp_path}/runs"]
    done = run(command, tmp_path, MPLBACKEND=NOTEBOOK)
    assert (done.returncode, done.stderr) == (2, "error: sweep.trials=0: must be at least 1\n")


def set_up(checkout: Path, *settings: str) -> None:
    """`make setup`, without a network."""
    uv = Path(shutil.which("uv") or Path(sys.prefix) / "uv" / "bin" / "uv")
    if not uv.exists():
        pytest.skip("needs uv, on PATH or where scripts/setup.sh keeps it")
    path = os.pathsep.join([str(uv.parent), os.environ["PATH"]])
    made = run(["make", "setup", f"PYTHON3={sys.executable}", *settings], checkout, PATH=path, UV_OFFLINE="1")
    assert made.returncode == 0, made.stdout + made.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with an environment that `make setup` has built; it borrows its packages from the one that runs this.

    Its own lock has one package, which is made here: nothing is downloaded.
    """
    folder = tmp_path / "first"
    folder.mkdir()
    for part in ("scs_study", "conf", "scripts", "results/paper"):
        shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(PROJECT / name, folder)
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\n")
        archive.writestr("tiny-1.0.dist-info/entry_points.txt", "[console_scripts]\ntiny = gc:enable\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "requirements.lock").write_text(f"tiny @ {wheel.as_uri()} --hash=sha256:{digest}\n")
    set_up(folder)
    (packages,) = (folder / ".venv").glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def status(python: Path, checkout: Path, study: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run([python, checkout / "scripts/status.py", f"study={study}"], python.parents[2], **variables)


def add_study(checkout: Path) -> None:
    text = (checkout / "conf/study/quick.yaml").read_text()
    (checkout / "conf/study" / f"{MINE}.yaml").write_text(text)


def test_a_renamed_project_folder_works_as_before(checkout: Path) -> None:
    renamed = checkout.rename(checkout.with_name("another name"))
    again = run(["make", "setup"], renamed)
    assert (again.returncode, again.stderr) == (0, "")
    shown = run(["make", "status", "ARGS=seed=0"], renamed)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "10 missing" in shown.stdout
    code = run([renamed / ".venv/bin/python", "-c", "import scs_study; print(scs_study.__file__)"], Path("/"))
    assert code.stdout == f"{renamed}/scs_study/__init__.py\n", code.stderr
    assert run([renamed / ".venv/bin/tiny"], Path("/")).returncode == 0


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Path) -> None:
    python = checkout / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    set_up(checkout)
    assert status(python, checkout, "quick").returncode == 0


@pytest.mark.parametrize("shared", ["named", "linked"])
def test_a_second_checkout_that_shares_the_environment_runs_its_own_code_and_configs(
    shared: str, checkout: Path
) -> None:
    second = checkout.with_name("second")
    shutil.copytree(checkout, second, ignore=shutil.ignore_patterns(".venv"))
    add_study(second)
    python = checkout / ".venv/bin/python"
    if shared == "linked":
        (second / ".venv").symlink_to(checkout / ".venv")
        python = second / ".venv/bin/python"
        code = run([python, "-c", "import scs_study; print(scs_study.__file__)"], Path("/"))
        assert code.stdout == f"{second}/scs_study/__init__.py\n", code.stderr
    for variables in ({}, {"PYTHONPATH": str(checkout)}):
        assert status(python, second, MINE, **variables).returncode == 0
        assert f"study={MINE}: not known" in status(python, checkout, MINE, PYTHONPATH=str(second)).stderr


def test_an_environment_outside_the_project_names_no_checkout(checkout: Path) -> None:
    outside = checkout.with_name("environment")
    set_up(checkout, f"VENV={outside}")
    missing = run([outside / "bin/python", "-c", "import scs_study"], Path("/"))
    assert "ModuleNotFoundError" in missing.stderr
