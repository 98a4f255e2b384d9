"""Runs that the tests of training make: a few digits, one small network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from scs_study.config.schema import CellConfig
from scs_study.data import ImageSet
from scs_study.experiments.compose import compose_cell
from scs_study.models import initial_weights
from scs_study.system import files
from scs_study.system.tensors import checksum, load_tensors
from scs_study.training import run_dir as run_folder
from scs_study.training.run import Settings, train

CPU = Settings(torch.device("cpu"))


def small(images: ImageSet) -> ImageSet:
    """Enough images for a partial last batch of 22 and a quick epoch."""
    return dataclasses.replace(
        images,
        train_images=images.train_images[::5][:150],
        train_labels=images.train_labels[::5][:150],
        test_images=images.test_images[::4],
        test_labels=images.test_labels[::4],
    )


def cell(layer: str = "scs", epochs: int = 3, **settings: Any) -> CellConfig:
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    return compose_cell(
        {"arch": "rohrer68k", "layer": layer}, {"train.epochs": epochs, "train.batch_size": 64, **dotted}, 0
    )


def run(folder: Path, which: CellConfig, images: ImageSet, **more: Any) -> dict[str, Any]:
    shared = initial_weights(which.arch, which.seed, which.init, folder.parent / "initial")
    folder.mkdir(exist_ok=True)
    return train(which, folder, images, shared, more.pop("settings", CPU), **more)


def stop_after(steps: int) -> Callable[[], bool]:
    """A `stop` that turns true after it was asked `steps` times."""
    answers: Iterator[bool] = iter([False] * steps + [True] * 1000)
    return lambda: next(answers)


def traces(folder: Path) -> dict[str, Any]:
    """Everything a run computed, without the seconds it took."""
    history = [
        {k: v for k, v in line.items() if "seconds" not in k} for line in files.read_lines(folder / run_folder.HISTORY)
    ]
    result = {k: v for k, v in files.read_json(folder / run_folder.RESULT).items() if "seconds" not in k}
    weights = checksum(load_tensors(folder / run_folder.WEIGHTS)[0])
    texts = {name: (folder / name).read_text() for name in (run_folder.LAYERS, run_folder.STEPS)}
    return {"history": history, "result": result, "weights": weights, **texts}
