"""A finished run's network as a file of another framework: checked on real images, and useless to nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from scs_study.config.schema import CellConfig
from scs_study.evaluation.trained import Trained, load_trained
from scs_study.experiments.compose import PROJECT, compose_cell
from scs_study.export import FORMATS, export_run, leave
from scs_study.export.agreement import TOLERANCE, agreement
from scs_study.export.formats import Run
from scs_study.export.pixels import OfPixels
from scs_study.layers import MaxAbsPool2d
from scs_study.runs.run_one import run_cell
from tests.support import commands
from tests.support.work import few_digits, run_context

DIGITS = few_digits()


def cell(arch: str = "rohrer68k", layer: str = "scs", pooling: str = "maxabs", **more: str) -> CellConfig:
    activation = "relu" if layer == "conv" else "none"
    choices = {"arch": arch, "layer": layer, "activation": activation, "pooling": pooling, **more}
    return compose_cell(choices, {"train.epochs": 1, "train.batch_size": 32}, 0)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.run("export.py", *arguments)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on a few digits."""
    context, trained = run_context(tmp_path_factory.mktemp("runs")), cell()
    assert run_cell(trained, context).state == "done"
    return context.runs / trained.run_name


@pytest.fixture(scope="module")
def trained(run: Path) -> Trained:
    return load_trained(run)


@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_a_trained_network_leaves_and_says_the_same_on_real_images(form: str, trained: Trained, tmp_path: Path) -> None:
    exported = export_run(trained, DIGITS, form, tmp_path / "there", 50)
    assert exported.file == tmp_path / "there" / f"{trained.cell.run_name}{FORMATS[form]}"
    assert exported.agreement.images == 50
    assert exported.agreement.largest <= TOLERANCE
    assert exported.agreement.same_class >= 50 - exported.agreement.ties
    assert [path.name for path in exported.file.parent.iterdir()] == [exported.file.name]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (
            "onnx",
            "import onnxruntime as o; y = o.InferenceSession(file).run(None, {'images': images})[0]",
        ),
        ("torch", "import torch; y = torch.export.load(file).module()(torch.from_numpy(images)).detach().numpy()"),
    ],
)
def test_its_file_needs_nothing_of_this_project(form: str, code: str, trained: Trained, tmp_path: Path) -> None:
    """In a Python that cannot import it; any number of images, of their own."""
    file = export_run(trained, DIGITS, form, tmp_path, 20).file
    images = DIGITS.test_images[:7]
    np.save(tmp_path / "images.npy", images.numpy())
    lines = f"import numpy, sys; file, images = {str(file)!r}, numpy.load('images.npy')\n{code}\n"
    lines += "assert not [name for name in sys.modules if name.startswith('scs_study')]; numpy.save('logits.npy', y)"
    subprocess.run([sys.executable, "-I", "-c", lines], cwd=tmp_path, check=True, timeout=240)
    with torch.no_grad():
        ours = OfPixels(trained.network, trained.cell.data.size)(images).numpy()
    logits = np.load(tmp_path / "logits.npy")
    assert logits.shape == ours.shape == (7, 10)
    assert logits.argmax(1).tolist() == ours.argmax(1).tolist()


@pytest.mark.parametrize(
    "variant",
    [
        cell(layer="conv", pooling="max"),
        cell(layer="sdp"),
        cell(layer="pisoni"),
        cell(layer="wang", pooling="max"),
        cell(arch="rohrer25k"),  # depthwise: norms of each channel, and a window sum of each
    ],
    ids=lambda variant: f"{variant.arch}-{variant.layer.name}-{variant.pooling}",
)
def test_every_layer_leaves_as_onnx(variant: CellConfig, tmp_path: Path) -> None:
    context = run_context(tmp_path)
    run_cell(variant, context)
    exported = export_run(load_trained(tmp_path / variant.run_name), DIGITS, "onnx", tmp_path, 30)
    model = onnxruntime.InferenceSession(str(exported.file), providers=["CPUExecutionProvider"])
    assert exported.agreement.holds
    notes = model.get_modelmeta().custom_metadata_map
    assert notes["run"] == variant.run_name
    assert notes["classes"].split(",") == list(DIGITS.classes)


class Pool(nn.Module):
    """A pool alone, so that a tie is in its images."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = MaxAbsPool2d(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.pool(images.permute(0, 3, 1, 2).float() - 128).flatten(1)
        return pooled


def test_a_tie_excuses_its_image_and_no_other() -> None:
    images = torch.full((2, 2, 2, 1), 128, dtype=torch.uint8)
    images[0, 0, 0], images[0, 1, 1] = 28, 228  # -100 and 100
    images[1, 0, 0], images[1, 1, 1] = 27, 228  # -101 and 100
    other = {0: np.float32([[-100.0], [-101.0]]), 1: np.float32([[100.0], [100.0]])}
    found = agreement(Pool(), lambda batch: other[0], images)
    assert (found.ties, found.largest_of_ties, found.largest, found.holds) == (1, 2.0, 0.0, True)
    found = agreement(Pool(), lambda batch: other[1], images)
    assert (found.ties, found.largest_of_ties, found.holds) == (1, 0.0, False)


@pytest.mark.parametrize("off", [2e-5, np.nan, np.inf])
def test_another_network_is_no_agreement(off: float) -> None:
    network = nn.Sequential(nn.Flatten())
    images = torch.ones(3, 1, 1, 2, dtype=torch.float32)

    def almost(batch: np.ndarray) -> np.ndarray:
        logits = batch.reshape(len(batch), -1).copy()
        logits[-1, 0] += off
        return logits

    assert agreement(network, lambda batch: batch.reshape(len(batch), -1), images).holds
    assert not agreement(network, almost, images).holds
    with pytest.raises(ValueError, match="shape"):
        agreement(network, lambda batch: batch.reshape(len(batch), -1)[:, :1], images)


def test_what_disagrees_is_not_left_behind(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter with a fault: torch's own, and a sign is lost."""
    whole = leave.write_torch

    def faulty(*arguments: Any) -> Run:
        run = whole(*arguments)
        return lambda images: -run(images)

    monkeypatch.setattr(leave, "write_torch", faulty)
    with pytest.raises(ValueError, match="nothing was written"):
        export_run(trained, DIGITS, "torch", tmp_path, 20)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_keras_model_that_keras_loads(run: Path, tmp_path: Path) -> None:
    """In processes that start: absl, which Keras imports, and Hydra are not on good terms about who closes stderr."""
    words = [f"run={run}", "format=keras", "images=40", f"to={tmp_path}"]
    done = subprocess.run(
        [sys.executable, str(PROJECT / "scripts" / "export.py"), *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.iterdir()
    assert file.name == f"{run.name}.keras"
    lines = f"""
import keras, numpy, scs_study.keras
model = keras.saving.load_model({str(file)!r})
assert model(numpy.zeros((3, 32, 32, 3), 'float32')).shape == (3, 10)
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", lines], cwd=PROJECT, env=environment, check=True, timeout=240)


def test_keras_has_chains_only(tmp_path: Path) -> None:
    variant, context = cell(layer="wang"), run_context(tmp_path)
    run_cell(variant, context)
    with pytest.raises(ValueError, match="cannot be converted"):
        export_run(load_trained(tmp_path / variant.run_name), DIGITS, "keras", tmp_path / "there", 20)


@pytest.mark.parametrize(
    "arguments", [[], ["run=unknown"], ["run=some/where"], ["run={run}", "format=tflite"], ["run={run}", "images=0"]]
)
def test_a_wrong_command_is_refused_in_a_line(arguments: list[str], run: Path, tmp_path: Path) -> None:
    arguments = [argument.format(run=run) for argument in arguments]
    done = command(*arguments, f"to={tmp_path}", f"runs={run.parent}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_unfinished_run_is_refused(run: Path, tmp_path: Path) -> None:
    begun = tmp_path / run.name
    begun.mkdir()
    (begun / "config.json").write_bytes((run / "config.json").read_bytes())
    (begun / "status.json").write_text(json.dumps({"state": "running"}))
    with pytest.raises(ValueError, match="not finished"):
        load_trained(begun)
