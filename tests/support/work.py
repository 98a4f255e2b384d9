"""What the tests of many processes share: small real cells, processes that can be killed, and folders compared."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

from scs_study.config.schema import CellConfig, DataConfig
from scs_study.data import ImageSet, load_images
from scs_study.experiments.compose import compose_cell
from scs_study.launch.crew import without_main
from scs_study.runs.context import RunContext
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from scs_study.training.run import Settings

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["scs_study.launch.worker", "tests.support.work", "sklearn.datasets", "torch._dynamo"])
"""What every process of the tests would otherwise import for itself, for a second or two."""


def cell(layer: str = "conv", seed: int = 0, epochs: int = 3, batch: int = 16) -> CellConfig:
    """A cell of few steps, which suffice to leave chance: the fastest network on digits, batches of 16.

    On all digits an epoch of it takes about a second, whatever the batch: half of what other networks take.
    """
    choices = {"arch": "rohrer68k", "layer": layer, "activation": "relu", "pooling": "max"}
    return compose_cell(choices, {"train.epochs": epochs, "train.batch_size": batch}, seed)


SCS = cell("scs")
ENDLESS = 1_000_000
"""Epochs that no machine gets to the end of while a test waits: for runs that are stopped, and never finished."""


def few_digits() -> ImageSet:
    """128 training and 64 test images of the digits, of all classes: eight steps an epoch."""
    images = load_images(DataConfig("digits", 32, 4, False), None, Path(os.devnull), False)
    return replace(
        images,
        train_images=images.train_images[::11][:128].clone(),
        train_labels=images.train_labels[::11][:128].clone(),
        test_images=images.test_images[::5][:64].clone(),
        test_labels=images.test_labels[::5][:64].clone(),
        digest="few",
    )


def run_context(runs: Path, **settings: Any) -> RunContext:
    """A run context on one thread whose digits are few."""
    torch.set_num_threads(1)
    settings = {"device": torch.device("cpu"), **settings}
    return RunContext(runs, Settings(**settings), None, runs / "data", _images={"digits": few_digits()})


def start(function: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """A process that runs `function`, forked from one that has torch imported."""
    process = CONTEXT.Process(target=function, args=arguments)
    with without_main():
        process.start()
    return process


def content(folder: Path) -> dict[str, Any]:
    """Everything a finished run says, without times: equal for two runs exactly if they are equal bit for bit."""
    return {
        "result": _timeless(files.read_json(folder / run_folder.RESULT)),
        "history": [_timeless(line) for line in files.read_lines(folder / run_folder.HISTORY)],
        "layers": hashlib.sha256((folder / run_folder.LAYERS).read_bytes()).hexdigest(),
        "steps": hashlib.sha256((folder / run_folder.STEPS).read_bytes()).hexdigest(),
        "weights": hashlib.sha256((folder / run_folder.WEIGHTS).read_bytes()).hexdigest(),
        "config": json.loads((folder / run_folder.CONFIG).read_bytes()),
    }


def _timeless(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if "seconds" not in key}
