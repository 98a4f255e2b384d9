"""What a study will take on this device: time from a few timed steps of every kind of network, and disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from scs_study.benchmark.step import Contestant, contestant, seconds_of
from scs_study.config.schema import DRAWN, CellConfig
from scs_study.data import ImageSet
from scs_study.models import build_variant, layer_paths
from scs_study.models.initialization import draw
from scs_study.models.pool_fusion import fuse_pools
from scs_study.runs.progress import duration
from scs_study.training import record
from scs_study.training.precision import numerics
from scs_study.training.step_log import StepLog

STEPS = 3
"""Timed steps of each kind of network, after one that is not; the least of them counts."""
PIXELS = 32 * 32 * 32
"""Pixels of a timed batch on the CPU, where time is proportional to the batch: 32 small images, or one large one."""
HISTORY_LINE = 250
"""Bytes of a line of history.jsonl."""


@dataclass(frozen=True)
class Estimate:
    """cells and epochs still to compute; seconds of one process for all of them, None where nothing was timed; bytes of
    their run folders.
    """

    cells: int
    epochs: int
    seconds: float | None
    bytes: int

    def words(self, processes: int, device: str) -> str:
        """Return one line, for `processes` working side by side."""
        work = f"{self.cells} cells, {self.epochs} epochs to compute"
        disk = f"about {_size(self.bytes)} of disk"
        if self.seconds is None:
            return f"{work} on the cluster, whose nodes cannot be timed from here; {disk}"
        time = duration(self.seconds / processes)
        side = f" with {processes} processes" if processes > 1 else ""
        return (
            f"{work}: about {time} on this device{side} ({device}; from {STEPS} timed steps of each kind of network); "
            f"{disk}"
        )


def estimate(
    left: Sequence[tuple[CellConfig, int]], images: Mapping[str, ImageSet], device: torch.device | None
) -> Estimate:
    """Return the Estimate for cells and the epochs each still has to compute. images: of their data sets, by
    images_key.

    Variants that differ in pooling, activation or norm alone are timed once: the layer decides. device: None where
    other machines than this one will compute, and nothing is timed.
    """
    costs: dict[tuple[object, ...], tuple[float, float, int, int]] = {}
    seconds, size = 0.0, 0
    for cell, epochs in left:
        data = images[cell.data.images_key]
        kind = (cell.arch, cell.layer, cell.data, cell.train.batch_size, cell.train.numerics)
        if kind not in costs:
            network = fuse_pools(build_variant(cell, draw(cell.arch, 0, DRAWN[0], cell.data.ends)))
            sizes = _sizes(cell, network, len(data.train_labels))  # before the timed steps change the weights
            costs[kind] = (*((0.0, 0.0) if device is None else _times(cell, network, device)), *sizes)
        train, evaluate, fixed, per_epoch = costs[kind]
        seconds += epochs * (train * len(data.train_labels) + evaluate * len(data.test_labels))
        size += fixed + per_epoch * cell.train.epochs
    return Estimate(len(left), sum(epochs for _, epochs in left), None if device is None else seconds, size)


def _sizes(cell: CellConfig, network: nn.Module, train_images: int) -> tuple[int, int]:
    """Bytes of a run folder, fixed and per epoch."""
    layers = {path: network.get_submodule(path) for path in layer_paths(network)}
    weights = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    steps = -(-train_images // cell.train.batch_size)
    log = StepLog.empty(steps, len(layers), torch.device("cpu"))
    log.done = steps
    lines = (record.layers_line(1, layers, log), record.steps_line(1, list(layers), log))
    return weights, HISTORY_LINE + sum(len(json.dumps(line)) for line in lines)


def _times(cell: CellConfig, network: nn.Module, device: torch.device) -> tuple[float, float]:
    """Seconds per image of training and of evaluation."""
    batch = cell.train.batch_size
    if device.type == "cpu":
        batch = min(batch, max(2, PIXELS // cell.data.pixels))
    timed = contestant(cell.arch, cell, network, "nhwc", batch, device)
    with numerics(cell.train.numerics, device):
        return _least(timed, 0, device) / batch, _least(timed, 1, device) / batch


def _least(timed: Contestant, index: int, device: torch.device) -> float:
    work = (timed.train, timed.evaluate)[index]
    return min([seconds_of(work, device) for _ in range(STEPS + 1)][1:])


def _size(number: float) -> str:
    for unit in ("B", "KB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
