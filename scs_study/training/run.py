"""One run from its first step, or from its checkpoint, to its result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scs_study.config.schema import CellConfig
from scs_study.data import Batches, ImageSet, check_batch_size
from scs_study.layers import cpu
from scs_study.layers.cpu import KERNELS
from scs_study.layers.kernels.start import triton_starts
from scs_study.layers.registry import LAYERS
from scs_study.models import InitialWeights, count_parameters, not_converted
from scs_study.models.variant import count_frozen
from scs_study.system import files
from scs_study.system.tensors import checksum, save_tensors
from scs_study.training import checkpoint, record
from scs_study.training import run_dir as run_folder
from scs_study.training.checkpoint import Progress
from scs_study.training.eager import EagerEngine, Stopped
from scs_study.training.graphed import GraphedEngine
from scs_study.training.objectives import Objective, objective_of
from scs_study.training.precision import numerics
from scs_study.training.state import TrainState, train_state
from scs_study.training.stopping import Interrupted

ENGINES: dict[str, type[EagerEngine]] = {"eager": EagerEngine, "graphed": GraphedEngine}


@dataclass(frozen=True)
class Settings:
    """How a run is computed; no part of what it computes.

    alone: whether no other run is in this process meanwhile. kernels: of the sharpened layers on a CPU, auto or plain.
    at_once: how many runs share the device as far as their launcher knows, so what their seconds measure.
    """

    device: torch.device
    engine: str = "eager"
    checkpoint_every: int = 1
    alone: bool = True
    kernels: str = KERNELS[0]
    at_once: int = 1


@dataclass
class Training:
    """What a run is made of; `start_checksum` is that of the networks' tensors before the first step."""

    objective: Objective
    state: TrainState
    engine: EagerEngine
    progress: Progress
    start_checksum: str


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Return a context in which the CPU counts numbers below 1e-38 as zero, in this thread and those it starts
    meanwhile.

    A kernel that dies leaves such numbers behind, and a CPU computes with them a hundred times more slowly.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@denormals_flushed()
def train(
    cell: CellConfig,
    folder: Path,
    images: ImageSet,
    shared: InitialWeights,
    settings: Settings,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
    guard: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Return the run's result (the content of result.json); `folder` holds all its records.

    Continues from the folder's checkpoint if there is one. `stop` is asked before every step; `report` gets every
    epoch's history line, once the epoch is on the disk; `guard` is called before anything is written, and raises when
    the folder is no longer ours.
    Raises Interrupted after `stop()` turned true and the checkpoint was written.
    """
    parts = build(cell, images, shared, settings)
    try:
        resumed = checkpoint.load(folder, cell.run_name, parts.progress, parts.state)
    except checkpoint.Unusable:
        parts, resumed = build(cell, images, shared, settings), False
    guard()
    record.truncate(folder, parts.progress.epoch if resumed else 0)

    epochs, progress = cell.train.epochs, parts.progress
    run_folder.write_status(folder, "running", progress.epoch, epochs)
    diverged: dict[str, Any] | None = None
    while progress.epoch < epochs and diverged is None:
        epoch = progress.epoch + 1
        try:
            test, eval_seconds, diverged = _compute_epoch(parts, epoch, stop)
        except Stopped:
            guard()
            _save(folder, cell, parts)
            run_folder.write_status(folder, "interrupted", progress.epoch, epochs, f"stopped in epoch {epoch}")
            raise Interrupted(f"{cell.run_name} was stopped in epoch {epoch} of {epochs}") from None
        guard()
        if diverged is None:
            parts.objective.save_samples(folder, epoch, parts.state.networks)
        line = _record_epoch(folder, cell, parts, images, epoch, test, eval_seconds)
        progress.epoch, progress.log = epoch, parts.engine.new_log()
        if diverged is None and (epoch % settings.checkpoint_every == 0 or epoch == epochs):
            guard()
            _save(folder, cell, parts)
        run_folder.write_status(folder, "running", epoch, epochs)
        report(line)  # last: whatever becomes of it, the epoch is kept

    guard()
    record.truncate(folder, progress.epoch)
    return _finish(folder, cell, images, shared, settings, parts, diverged)


def build(cell: CellConfig, images: ImageSet, shared: InitialWeights, settings: Settings) -> Training:
    """Return the parts of a run before its first step.

    Raises ValueError for numerics that the device does not have, and a batch larger than the training set.
    """
    check_batch_size(cell.train.batch_size, images)
    cpu.choose(settings.kernels)
    with numerics(cell.train.numerics, settings.device):
        pass  # refuses a numerics class that this device does not have, before any work
    objective = objective_of(cell)
    networks = objective.networks(shared.tensors)
    batches = Batches(images, cell.data, cell.train.batch_size, cell.seed, settings.device, cell.train)
    for network in networks.values():
        network.to(device=settings.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = train_state(networks, cell.train, batches.steps)
    start = checksum(state.tensors())
    engine = ENGINES[settings.engine](objective, state, batches, cell.train, settings.device)
    engine.alone = settings.alone
    return Training(objective, state, engine, Progress(0, engine.new_log()), start)


def _compute_epoch(
    parts: Training, epoch: int, stop: Callable[[], bool]
) -> tuple[Mapping[str, float] | None, float, dict[str, Any] | None]:
    """Return the test metrics, None of networks that diverged; the seconds of the test; and where they diverged.

    Raises Stopped.
    """
    engine, progress = parts.engine, parts.progress
    engine.train_epoch(engine.batches.plan(epoch), progress.log, stop)
    bad_step = progress.log.first_bad_loss()
    started = time.perf_counter()
    test = engine.evaluate(stop) if bad_step is None else None
    seconds = time.perf_counter() - started
    for kind, violation in progress.log.first_violations(parts.state.layers).items():
        progress.violations.setdefault(kind, {"epoch": epoch, **violation})
    if bad_step is not None:
        return None, seconds, {"epoch": epoch, "step": bad_step, "reason": "the training loss is not finite"}
    if test is not None and not math.isfinite(test["loss"]):
        return None, seconds, {"epoch": epoch, "step": None, "reason": "the test loss is not finite"}
    return test, seconds, None


def _save(folder: Path, cell: CellConfig, parts: Training) -> None:
    checkpoint.save(folder, cell.run_name, parts.progress, parts.state)


def _record_epoch(
    folder: Path,
    cell: CellConfig,
    parts: Training,
    images: ImageSet,
    epoch: int,
    test: Mapping[str, float] | None,
    eval_seconds: float,
) -> dict[str, Any]:
    log, state = parts.progress.log, parts.state
    first = next(iter(state.phases.values()))
    train: Mapping[str, float | None] = parts.objective.train_metrics(
        log, len(images.train_labels), cell.train.batch_size
    )
    if test is None:
        train = dict.fromkeys(train)
    tested: Mapping[str, float | None] = dict.fromkeys(parts.objective.tested) if test is None else test
    lr = float(first.scheduler.get_last_lr()[0])
    line = record.history_line(epoch, train, tested, log.seconds, eval_seconds, lr)
    files.append_line(folder / run_folder.STEPS, record.steps_line(epoch, state.layers, log))
    files.append_line(folder / run_folder.LAYERS, record.layers_line(epoch, state.modules(), log))
    files.append_line(folder / run_folder.HISTORY, line)
    return line


def _finish(
    folder: Path,
    cell: CellConfig,
    images: ImageSet,
    shared: InitialWeights,
    settings: Settings,
    parts: Training,
    diverged: dict[str, Any] | None,
) -> dict[str, Any]:
    violations, objective, networks = parts.progress.violations, parts.objective, parts.state.networks.values()
    history = files.read_lines(folder / run_folder.HISTORY)
    dead = violations and not objective.left_chance(history, images)
    collapse = objective.collapse(history)
    state = "diverged" if diverged else "untrained" if dead else "collapsed" if collapse else "done"
    save_tensors(folder / run_folder.WEIGHTS, parts.state.tensors(), {"run": cell.run_name, "state": state})
    facts = {
        "parameters": sum(count_parameters(network) for network in networks),
        **({"frozen_parameters": frozen} if (frozen := sum(map(count_frozen, networks))) else {}),
        "shared_checksum": shared.checksum,
        "start_checksum": parts.start_checksum,
        "data_digest": images.digest,
        "device": device_name(settings.device),
        "diverged": diverged,
        "gradient_left_bounds": _worst(violations, diverged is not None),
        "not_swapped": [list(entry) for entry in not_converted(cell)],
        **({"collapsed": collapse} if collapse else {}),
    }
    result = record.result(folder, state, objective.primary, objective.direction, facts)
    files.write_json(folder / run_folder.RESULT, result)
    run_folder.write_status(folder, state, parts.progress.epoch, cell.train.epochs, record.message(result))
    (folder / checkpoint.NAME).unlink(missing_ok=True)
    return result


def device_name(device: torch.device) -> str:
    """Return the device in words: the GPU's own name, or "cpu" with the number of threads."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device.type}, {torch.get_num_threads()} threads"


def kernels_name(cell: CellConfig, settings: Settings) -> str:
    """Return what computes the cell's sharpened layers: torch's operations, Triton, or the CPU's compiled loops by
    name.
    """
    if not LAYERS[cell.layer.name].pools:  # the layers that take a pool in have kernels of their own
        return cpu.PLAIN
    if settings.device.type == "cuda":
        return "triton" if triton_starts(settings.device) else cpu.PLAIN
    return cpu.kernel_name(settings.kernels)


def _worst(violations: Mapping[str, dict[str, Any]], diverged: bool) -> dict[str, Any] | None:
    """The violation of a norm's bounds that says most: what exploded, of a run that diverged; else the first."""
    if diverged and "exploded" in violations:
        return violations["exploded"]
    return min(violations.values(), key=lambda violation: (violation["epoch"], violation["step"]), default=None)
