"""Where the wall time of an epoch goes: training, evaluation, and writing records and checkpoint."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scs_study.benchmark.engines import random_images
from scs_study.config.schema import CellConfig
from scs_study.data import ImageSet
from scs_study.models import initial_weights
from scs_study.training.graphed import WARM_UP
from scs_study.training.run import Settings, train

EPOCHS = WARM_UP + 3
"""Of a timed run. Of those after the first the fastest counts: the graphed engine captures its evaluation in the one
after WARM_UP, and two are left that only replay."""
CPU_IMAGES, GPU_IMAGES = (1_280, 500), (50_000, 10_000)
"""Training and test images of a timed epoch: CIFAR-10's own number on a GPU."""


@dataclass(frozen=True)
class EpochRow:
    """Seconds of an epoch over `images` training and `test_images` test images: in all, and what it consists of."""

    architecture: str
    variant: str
    engine: str
    checkpoint_every: int
    images: int
    test_images: int
    epoch_s: float
    train_s: float
    eval_s: float
    log_s: float


def epochs(cells: Mapping[str, CellConfig], settings: Settings, folder: Path) -> list[EpochRow]:
    """Return a row for every cell, each run in a folder of its own below `folder`."""
    counts = CPU_IMAGES if settings.device.type == "cpu" else GPU_IMAGES
    images = random_images(*counts)
    return [_row(name, cell, images, settings, folder) for name, cell in cells.items()]


def _row(name: str, cell: CellConfig, images: ImageSet, settings: Settings, folder: Path) -> EpochRow:
    cell = replace(cell, train=replace(cell.train, epochs=EPOCHS))
    where = folder / settings.engine / cell.run_name
    where.mkdir(parents=True)
    lines: list[tuple[float, dict[str, Any]]] = []
    shared = initial_weights(cell.arch, cell.seed, cell.init, folder / "initial", ends=cell.data.ends)
    train(cell, where, images, shared, settings, report=lambda line: lines.append((time.perf_counter(), line)))
    # From one report to the next: what is neither training nor evaluation writes the checkpoint and the records.
    spans = [(after - before, line) for (before, _), (after, line) in itertools.pairwise(lines)]
    wall, line = min(spans, key=lambda span: span[0])
    log = wall - line["train_seconds"] - line["eval_seconds"]
    return EpochRow(
        cell.arch, name, settings.engine, settings.checkpoint_every,
        len(images.train_labels), len(images.test_labels),
        wall, line["train_seconds"], line["eval_seconds"], log,
    )  # fmt: skip
