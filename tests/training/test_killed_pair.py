"""A real process of an adversarial run dies by SIGKILL; the one that goes on leaves an undisturbed run's bits."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scs_study.system import files
from scs_study.training import run_dir as run_folder
from tests.gates import Gate
from tests.support import commands
from tests.training.runs import traces

SETTINGS = (
    *("arch=scs_gan", "layer=scs_gan_sharpened", "activation=relu", "pooling=max", "objective=adversarial"),
    *("train=dcgan", "train.epochs=2", "train.batch_size=8", "engine.device=cpu", "engine.threads=1"),
    *("data=folder", "data.image_size=64", "data.channels=1", "data.crop_padding=0", "data.flip=false"),
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of twelve grey pictures of odd sizes."""
    root, chance = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(24):
        path = root / f"kind{number % 2}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(chance.integers(0, 256, (50 + number, 70), dtype=np.uint8)).save(path)
    return root


def trained(pictures: Path, runs: Path) -> int:
    return commands.run("train.py", *SETTINGS, f"data.root={pictures}", f"runs={runs}").returncode


def only(runs: Path) -> Path:
    (folder,) = (path for path in runs.glob("scs_gan-*") if path.is_dir())
    return folder


def left(runs: Path) -> dict[str, object]:
    folder = only(runs)
    kept = sorted(path for path in folder.glob("*/epoch-*") if path.is_file())
    assert len(kept) == 4
    digests = {f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}
    assert not list(folder.rglob("*.tmp"))
    return {"name": folder.name, **traces(folder), "kept": digests}


@pytest.mark.slow
def test_a_run_that_is_killed_twice_goes_on_bit_for_bit(
    pictures: Path, tmp_path: Path, shut: Callable[..., Gate]
) -> None:
    """Killed before it has written what the second epoch leaves, and again between its records and its checkpoint."""
    undisturbed, runs = tmp_path / "undisturbed", tmp_path / "runs"
    assert trained(pictures, undisturbed) == 0
    for moment in ("epoch-0002.png", "checkpoint.safetensors"):
        gate = shut(f"{runs}/*{moment}", kill=True)
        if moment.startswith("checkpoint"):
            assert (only(runs) / "checkpoint.safetensors").exists()  # of the first epoch
        assert trained(pictures, runs) == -signal.SIGKILL
        assert files.read_json(only(runs) / run_folder.STATUS)["state"] == "running"
        gate.open()
    assert trained(pictures, runs) == 0
    assert left(runs) == left(undisturbed)
