"""The bench of steps: every layer of an architecture, by every engine, in alternation, as rows of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from scs_study.benchmark.cost import floor_seconds, kernel_count, peak_bytes
from scs_study.benchmark.engines import engine_case
from scs_study.benchmark.step import BenchmarkCase, Timing, benchmark_cases, measure
from scs_study.config.schema import CellConfig
from scs_study.models import build_variant
from scs_study.models.initialization import draw
from scs_study.training.graphed import WARM_UP
from scs_study.training.run import Settings

BASELINE = "conv + relu + max"
NETWORK = "network"
"""In the place of an engine: the network alone, forward, backward and Adam on a batch that stays where it is."""
CPU_STEPS, GPU_STEPS = 2, 50
"""Training steps that an engine is timed over at once."""
CPU_PIXELS = 128 * 32 * 32
"""The largest batch on a CPU, in pixels: 128 images of 32 pixels, or two of 224."""


@dataclass(frozen=True)
class Row:
    """One network's costs. Times are of a batch, in milliseconds, with quartiles; *_x_conv are ratios to BASELINE.

    The ratio is to the same architecture by the same engine, in BASELINE's faster layout. peak_mb: memory beyond
    network and optimizer; kernels of a step and of_floor (floor_seconds over the measured time): CUDA only.
    """

    architecture: str
    pixels: int
    variant: str
    engine: str
    layout: str
    numerics: str
    batch: int
    train_ms: float
    train_low: float
    train_high: float
    train_images_s: float
    train_x_conv: float
    eval_ms: float
    eval_low: float
    eval_high: float
    eval_images_s: float
    eval_x_conv: float
    peak_mb: float
    kernels: float | None
    of_floor: float | None


def bench(
    cells: Mapping[str, CellConfig], engines: Sequence[str], device: torch.device, rounds: int, warm_up: int = 2
) -> list[Row]:
    """Return the rows of one architecture's variants, BASELINE among them, by every engine (NETWORK is one of the
    names).
    """
    if BASELINE not in cells:
        raise ValueError(f"layers: {BASELINE} must be among them, since the others are compared with it")
    cells = {name: _fitting(cell, device) for name, cell in cells.items()}
    steps = GPU_STEPS if device.type == "cuda" else CPU_STEPS
    made: list[tuple[str, str, BenchmarkCase]] = []
    for engine in engines:
        if engine == NETWORK:
            batch = next(iter(cells.values())).train.batch_size
            made += [(each.name, engine, each) for each in benchmark_cases(cells, batch, device)]
        else:
            settings = Settings(device, engine)
            made += [(name, engine, engine_case(name, cell, settings, steps)) for name, cell in cells.items()]
    renamed = [replace(each, name=f"{name}|{engine}") for name, engine, each in made]
    # In its first call an engine allocates all it needs; a graph that is replayed allocates nothing.
    peaks = [peak_bytes(each.train, device) for each in renamed]
    if device.type == "cuda":
        warm_up = max(warm_up, WARM_UP + 1)  # a graphed evaluation is captured in the call after WARM_UP
    timings = measure(renamed, rounds, device, warm_up)
    rows = []
    for (name, engine, _), each, peak in zip(made, renamed, peaks, strict=True):
        base = [t for (key, _), t in timings.items() if key == f"{BASELINE}|{engine}"]
        cell = cells[name.removesuffix(", naive")]
        rows.append(_row(name, engine, cell, each, timings[each.name, each.layout], base, peak, device))
    return rows


def _row(
    name: str,
    engine: str,
    cell: CellConfig,
    timed: BenchmarkCase,
    timing: tuple[Timing, Timing],
    base: list[tuple[Timing, Timing]],
    peak: int,
    device: torch.device,
) -> Row:
    train, evaluate = timing
    batch = cell.train.batch_size
    kernels = kernel_count(timed.train, device)
    floor = _floor(cell, device) if device.type == "cuda" else None
    return Row(
        architecture=cell.arch,
        pixels=cell.data.size[0],
        variant=name,
        engine=engine,
        layout=timed.layout,
        numerics=cell.train.numerics,
        batch=batch,
        train_ms=1e3 * train.median,
        train_low=1e3 * train.low,
        train_high=1e3 * train.high,
        train_images_s=batch / train.median,
        train_x_conv=train.median / min(each[0].median for each in base),
        eval_ms=1e3 * evaluate.median,
        eval_low=1e3 * evaluate.low,
        eval_high=1e3 * evaluate.high,
        eval_images_s=batch / evaluate.median,
        eval_x_conv=evaluate.median / min(each[1].median for each in base),
        peak_mb=peak / 1e6,
        kernels=None if kernels is None else kernels / timed.train_steps,
        of_floor=None if floor is None else floor / train.median,
    )


def _fitting(cell: CellConfig, device: torch.device) -> CellConfig:
    if device.type != "cpu":
        return cell
    batch = min(cell.train.batch_size, max(2, CPU_PIXELS // cell.data.pixels))
    return replace(cell, train=replace(cell.train, batch_size=batch))


def _floor(cell: CellConfig, device: torch.device) -> float:
    x = torch.zeros(cell.train.batch_size, cell.data.channels, *cell.data.size, device=device)
    return floor_seconds(build_variant(cell, draw(cell.arch, 0, "conv2d", cell.data.ends)).to(device), x)
