"""One finished run's network leaves the harness: read, written, read back, compared, and only then kept."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from scs_study.config.schema import choice
from scs_study.data import ImageSet
from scs_study.evaluation.trained import Trained
from scs_study.export.agreement import TOLERANCE, Agreement, agreement
from scs_study.export.formats import Notes, Run, write_keras, write_onnx, write_torch
from scs_study.export.pixels import OfPixels
from scs_study.models import restore_variant
from scs_study.system import files
from scs_study.system.tensors import load_tensors
from scs_study.training import run_dir

FORMATS = {"onnx": ".onnx", "torch": ".pt2", "keras": ".keras"}
"""By name, how its files end."""


@dataclass(frozen=True)
class Exported:
    """An exported network's file, and how well it agrees with the trained one."""

    file: Path
    agreement: Agreement


def export_run(trained: Trained, images: ImageSet, form: str, to: Path, count: int) -> Exported:
    """Write the network of a finished run into the folder `to`, as <run>.<suffix of the format>.

    It takes pixels, uint8 (B, height, width, channels), in any number of images, and gives logits (B, classes). Before
    the file is kept it is read back and compared with the trained network on `count` test images.

    Raises ValueError for a format or a network that cannot be written so, and where the two disagree.
    """
    choice("format", form, FORMATS)
    cell = trained.cell
    shown = images.test_images[:: max(1, len(images.test_images) // count)][:count]
    network = OfPixels(trained.network, cell.data.size).eval()
    suffix = FORMATS[form]
    to.mkdir(parents=True, exist_ok=True)
    file = to / f"{cell.run_name}{suffix}"
    with tempfile.TemporaryDirectory(dir=to, prefix=".") as scratch:
        written = Path(scratch) / f"network{suffix}"  # Keras goes by the ending
        run = _write(form, network, trained, shown[:2].shape[1:], images.classes, written)
        found = agreement(network, run, shown)
        if not found.holds:
            raise ValueError(
                f"{cell.run_name} as {form}: {found}, where {TOLERANCE:g} is the bound; nothing was written"
            )
        files.write_bytes(file, written.read_bytes())
    return Exported(file, found)


def _write(
    form: str, network: OfPixels, trained: Trained, shape: tuple[int, ...], classes: tuple[str, ...], file: Path
) -> Run:
    height, width, channels = shape
    if form == "keras":
        if (height, width) != network.size:
            raise ValueError(f"format=keras: these images of {height}x{width} pixels are resized for this network, "
                             f"which its Keras model would not do: choose onnx or torch")  # fmt: skip
        tensors, _ = load_tensors(trained.folder / run_dir.WEIGHTS)
        chain = restore_variant(trained.cell, tensors).eval()  # with its pools where the architecture has them
        return write_keras(chain, (channels, height, width), file)
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    write = write_onnx if form == "onnx" else write_torch
    return write(network, example, _notes(trained, classes), file)


def _notes(trained: Trained, classes: tuple[str, ...]) -> Notes:
    accuracy = trained.result.get("final_test_accuracy")
    return {
        "run": trained.cell.run_name,
        "classes": ",".join(classes),
        "weights": trained.weights,
        **({} if accuracy is None else {"test_accuracy": f"{accuracy:.4f}"}),
    }
