"""What a study will take on this device: time from a few timed steps of every kind of network, and disk."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from scs_study.benchmark.step import BenchmarkCase, benchmark_case, seconds_of
from scs_study.config.schema import DRAWN, CellConfig
from scs_study.data import Batches, ImageSet
from scs_study.models import layer_paths
from scs_study.models.initialization import draw
from scs_study.runs.progress import duration
from scs_study.training import record
from scs_study.training.eager import EagerEngine
from scs_study.training.objectives import objective_of
from scs_study.training.objectives.adversarial import EVAL_IMAGES
from scs_study.training.objectives.base import Objective
from scs_study.training.precision import numerics
from scs_study.training.state import train_state
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

    def describe(self, processes: int, device: str) -> str:
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


@dataclass(frozen=True)
class Cost:
    """Of a cell: seconds of an epoch, None where nothing was timed; bytes of its run folder, fixed and of an epoch."""

    seconds: float | None
    fixed: int
    per_epoch: int


def cell_costs(
    cells: Sequence[CellConfig], images: Mapping[str, ImageSet], device: torch.device | None
) -> dict[str, Cost]:
    """Return what each cell costs, by run name. images: of their data sets, by images_key.

    Variants that differ in pooling, activation or norm alone are timed once: the layer decides. device: None where
    other machines than this one will compute, and nothing is timed.
    """
    costs: dict[tuple[object, ...], tuple[float, float, int, int]] = {}
    found = {}
    for cell in cells:
        data = images[cell.data.images_key]
        kind = (cell.arch, cell.layer, cell.data, cell.train.batch_size, cell.train.numerics)
        if kind not in costs:
            objective = objective_of(cell)
            networks = objective.networks(draw(cell.arch, 0, DRAWN[0], cell.data.ends))
            if len(networks) == 1:
                (network,) = networks.values()
                sizes = _sizes(cell, network, len(data.train_labels))  # before the timed steps change the weights
                costs[kind] = (*((0.0, 0.0) if device is None else _times(cell, network, device)), *sizes)
            else:
                costs[kind] = _of_several(cell, objective, networks, data, device)
        train, evaluate, fixed, per_epoch = costs[kind]
        seconds = train * len(data.train_labels) + evaluate * len(data.test_labels)
        found[cell.run_name] = Cost(None if device is None else seconds, fixed, per_epoch)
    return found


def estimate(left: Sequence[tuple[CellConfig, int]], costs: Mapping[str, Cost]) -> Estimate:
    """Return the Estimate for cells and the epochs each still has to compute, by what each costs."""
    found = [(costs[cell.run_name], cell.train.epochs, epochs) for cell, epochs in left]
    seconds = [None if cost.seconds is None else epochs * cost.seconds for cost, _, epochs in found]
    timed = None if None in seconds else sum(each for each in seconds if each is not None)
    size = sum(cost.fixed + cost.per_epoch * all_epochs for cost, all_epochs, _ in found)
    return Estimate(len(left), sum(epochs for _, epochs in left), timed, size)


def _sizes(cell: CellConfig, network: nn.Module, train_images: int) -> tuple[int, int]:
    """Bytes of a run folder, fixed and per epoch."""
    layers = {path: network.get_submodule(path) for path in layer_paths(network)}
    return _bytes(network.state_dict()), _lines(cell, layers, train_images)


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors.values())


def _lines(cell: CellConfig, layers: Mapping[str, nn.Module], train_images: int) -> int:
    """Bytes of an epoch's lines of records."""
    steps = -(-train_images // cell.train.batch_size)
    log = StepLog.empty(steps, len(layers), torch.device("cpu"))
    log.done = steps
    lines = (record.layers_line(1, layers, log), record.steps_line(1, list(layers), log))
    return HISTORY_LINE + sum(len(json.dumps(line)) for line in lines)


def _of_several(
    cell: CellConfig,
    objective: Objective,
    networks: Mapping[str, nn.Module],
    images: ImageSet,
    device: torch.device | None,
) -> tuple[float, float, int, int]:
    """Seconds per image of training and of evaluation, and bytes, where several networks train: by their objective.

    Timed are steps of a batch, and an evaluation of as many images; after the least of them an evaluation looks at
    EVAL_IMAGES at most, whatever the size of the test set.
    """
    home = device or torch.device("cpu")
    for network in networks.values():
        network.to(device=home, memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = (
        min(cell.train.batch_size, max(2, PIXELS // cell.data.pixels)) if home.type == "cpu" else cell.train.batch_size
    )
    few = _few(images, batch)
    state, batches = train_state(networks, cell.train, STEPS + 1), Batches(few, cell.data, batch, 0, home)
    engine, fixed = EagerEngine(objective, state, batches, cell.train, home), _bytes(state.tensors())
    lines = _lines(cell, state.modules(), len(images.train_labels))
    with tempfile.TemporaryDirectory() as folder:
        objective.save_samples(Path(folder), 1, networks)
        lines += sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    if device is None:
        return 0.0, 0.0, fixed, lines
    seconds = []
    for epoch in range(1, STEPS + 2):
        log = engine.new_log()
        engine.train_epoch(batches.plan(epoch), log, lambda: False)
        started = time.perf_counter()
        engine.evaluate(lambda: False)
        seconds.append((log.seconds / batch, (time.perf_counter() - started) / batches.test_images))
    train, test = (min(column) for column in zip(*seconds[1:], strict=True))
    looked_at = min(EVAL_IMAGES, len(images.test_labels)) / len(images.test_labels)
    return train, test * looked_at, fixed, lines


def _few(images: ImageSet, count: int) -> ImageSet:
    kept = {
        name: getattr(images, name)[:count] for name in ("train_images", "train_labels", "test_images", "test_labels")
    }
    return dataclasses.replace(images, **kept)


def _times(cell: CellConfig, network: nn.Module, device: torch.device) -> tuple[float, float]:
    """Seconds per image of training and of evaluation."""
    batch = cell.train.batch_size
    if device.type == "cpu":
        batch = min(batch, max(2, PIXELS // cell.data.pixels))
    timed = benchmark_case(cell.arch, cell, network, "nhwc", batch, device)
    with numerics(cell.train.numerics, device):
        return _least(timed, 0, device) / batch, _least(timed, 1, device) / batch


def _least(timed: BenchmarkCase, index: int, device: torch.device) -> float:
    work = (timed.train, timed.evaluate)[index]
    return min([seconds_of(work, device) for _ in range(STEPS + 1)][1:])


def _size(number: float) -> str:
    for unit in ("B", "KB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
