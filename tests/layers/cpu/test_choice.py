"""How the compiled CPU layers start, or do not: what is said then, where they are kept, and that bits stay the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scs_study.layers import cpu
from scs_study.layers.cpu import compiled

PROJECT = Path(__file__).parents[3]
SHA = """
import hashlib, torch, warnings
torch.set_num_threads(1)
from torch import nn
from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, cpu
torch.manual_seed(0)
made = [SharpenedCosineSimilarity2d(3, 24, 3), SharpenedCosineSimilarity2d(24, 24, 3, groups=24)]
made[0].pool = MaxAbsPool2d(2, ceil_mode=True)
network = nn.Sequential(*made).to(memory_format=torch.channels_last)
x = torch.rand(4, 3, 17, 17)
y = network(x)
y.square().sum().backward()
bits = b"".join(t.detach().contiguous().numpy().tobytes() for t in (y, *(p.grad for p in network.parameters())))
print(hashlib.sha256(bits).hexdigest(), cpu.kernel_name("auto"))
"""


def run(code: str, folder: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip


@pytest.mark.slow
def test_bits_are_the_same_in_every_process_and_with_every_state_of_the_store(tmp_path: Path) -> None:
    """A copy of the source, such as a submission's to a cluster, compiles nothing that the source has compiled."""
    copy, store = tmp_path / "copy", tmp_path / "store"
    shutil.copytree(PROJECT / "scs_study", copy / "scs_study", ignore=shutil.ignore_patterns("__pycache__"))
    said = [run(SHA, NUMBA_CACHE_DIR=str(store)).stdout]
    kept = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    assert any(path.suffix == ".nbi" for path in kept)
    said += [run(SHA, folder, NUMBA_CACHE_DIR=str(store)).stdout for folder in (PROJECT, copy)]
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == kept
    said.append(run(SHA).stdout)
    assert len(set(said)) == 1, said


def test_without_numba_torch_computes_the_layers_and_it_is_said_once() -> None:
    ran = run("import sys; sys.modules['numba'] = None\n" + SHA + "network(x)")
    assert ran.stdout.split(maxsplit=1)[1].strip() == cpu.PLAIN
    assert ran.stderr.count("the fast CPU layers cannot start") == 1
    assert "scs-study[fast]" in ran.stderr


def test_loops_that_compute_wrong_numbers_are_not_used() -> None:
    broken = """
from scs_study.layers.cpu import windows
def forward(z, *rest):
    rest[-1][:] = 0.5
windows.forward = forward
"""
    ran = run(broken + SHA)
    assert ran.stdout.split(maxsplit=1)[1].strip() == cpu.PLAIN
    assert "wrong numbers" in ran.stderr


def test_the_name_says_which_compiler_processor_and_width_made_the_loops() -> None:
    assert cpu.kernel_name("plain") == cpu.PLAIN
    name = cpu.kernel_name("auto")
    assert name.startswith("numba ")
    assert name.split()[-1] == "bits"
    assert int(name.split()[-2]) in (128, 256, 512)


def test_the_store_is_where_somebody_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "named"))
    store = compiled.store.__wrapped__
    assert store().parent == tmp_path / "named"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    users = store()
    assert users.parent == tmp_path / "caches" / "scs_study"
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    beside = store()
    assert (beside.parent.name, beside.name) == ("__pycache__", users.name)
    monkeypatch.setattr(compiled, "_beside", lambda: Path("/proc/nowhere"))
    with pytest.warns(UserWarning, match="compiled at every start"):
        nowhere = store()
    nowhere.rmdir()
