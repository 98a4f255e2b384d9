"""One function a format: it writes the file and returns the network as that file has it."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from scs_study.export.agreement import Logits, Pixels
from scs_study.export.pixels import OfPixels
from scs_study.interchange import with_torch

Notes = Mapping[str, str]
Run = Callable[[Pixels], Logits]
INPUT, OUTPUT = "images", "logits"


def write_onnx(network: OfPixels, example: torch.Tensor, notes: Notes, file: Path) -> Run:
    """Write an ONNX file and return it as onnxruntime runs it. notes: kept as the model's metadata.

    Raises ValueError where a package is missing.
    """
    onnxruntime = _package("onnxruntime", "export")
    _package("onnxscript", "export")
    program = torch.onnx.export(
        network, (example,), dynamo=True, dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
        input_names=[INPUT], output_names=[OUTPUT], verbose=False,
    )  # fmt: skip
    assert program is not None
    program.model.metadata_props.update(notes)
    program.save(str(file), include_initializers=True)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def run(images: Pixels) -> Logits:
        (logits,) = session.run([OUTPUT], {INPUT: images})
        return np.asarray(logits)

    return run


def write_torch(network: OfPixels, example: torch.Tensor, notes: Notes, file: Path) -> Run:
    """Write a program of torch.export (.pt2), which needs torch and nothing of this project, and return it as loaded.

    notes: kept as its extra files.
    """
    program = torch.export.export(network, (example,), dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}})
    torch.export.save(program, file, extra_files=dict(notes))
    loaded = torch.export.load(file).module()

    def run(images: Pixels) -> Logits:
        with torch.no_grad():
            return np.asarray(loaded(torch.from_numpy(images)).numpy())

    return run


def write_keras(network: nn.Module, size: tuple[int, int, int], file: Path) -> Run:
    """Write a Keras model (.keras) of a chain of layers and return it as loaded; `scs_study.keras` must be imported to
    load it. size: (channels, height, width).

    Raises ValueError for a network that is no chain that Keras has here, and where Keras is missing.
    """
    with_torch.read(network)  # what is no chain is told before seconds of imports
    os.environ.setdefault("KERAS_BACKEND", "torch")  # which is here; the file is the same by any of them
    keras = _package("keras", "keras")
    from scs_study.keras.convert import from_torch

    with _without_keras_own_warnings():
        chain = from_torch(network, size)
        pixels = [keras.Input((*size[1:], size[0]), name=INPUT), keras.layers.Rescaling(1 / 255)]
        keras.Sequential([*pixels, *chain.layers]).save(file)
        loaded = keras.saving.load_model(file)

    def run(images: Pixels) -> Logits:
        with _without_keras_own_warnings():
            return np.asarray(keras.ops.convert_to_numpy(loaded(images.astype(np.float32), training=False)))

    return run


@contextmanager
def _without_keras_own_warnings() -> Iterator[None]:
    """A context without what Keras' torch backend has numpy 2 say of it at every array."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def _package(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"{name} cannot be imported ({error}): pip install 'scs-study[{extra}]'") from None
