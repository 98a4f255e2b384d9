"""How many cells side by side one device takes: the time of a step of each, and of all of them together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch

from scs_study.benchmark.engines import engine_case
from scs_study.benchmark.step import BenchmarkCase, Timing
from scs_study.config.schema import CellConfig
from scs_study.training.cuda_stream import on_own_stream
from scs_study.training.run import Settings

GPU_COUNTS = (1, 2, 4, 8, 16)
CPU_STEPS, GPU_STEPS = 2, 100
"""Steps that each cell takes in a round."""
WARM_UP = 2


@dataclass(frozen=True)
class SideRow:
    """`cells` of a kind at once: milliseconds from the start of a step of one to its next, and images a second of all.

    speedup: images a second over those of the smallest number of cells.
    """

    architecture: str
    variant: str
    engine: str
    cells: int
    step_ms: float
    step_low: float
    step_high: float
    images_s: float
    speedup: float


def side(cells: Mapping[str, CellConfig], settings: Settings, counts: Sequence[int], rounds: int) -> list[SideRow]:
    """Return a row for every variant and number of cells, the numbers in alternation; cells differ in their seeds."""
    with ExitStack() as stack:
        # One thread a cell, for all of it: a graph is replayed by the thread that captured it.
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(max(counts, default=0))]
        return [row for name, cell in cells.items() for row in _rows(name, cell, settings, threads, counts, rounds)]


def _rows(
    name: str,
    cell: CellConfig,
    settings: Settings,
    threads: Sequence[Executor],
    counts: Sequence[int],
    rounds: int,
) -> list[SideRow]:
    steps = GPU_STEPS if settings.device.type == "cuda" else CPU_STEPS
    made = [engine_case(name, replace(cell, seed=seed), settings, steps) for seed in range(len(threads))]
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    for number in range(rounds + WARM_UP):
        for count in counts:
            taken = _together(made[:count], threads, settings.device) / steps
            if number >= WARM_UP:
                seconds[count].append(taken)
    timings = {count: Timing.of(taken) for count, taken in seconds.items()}
    rates = {count: count * cell.train.batch_size / timing.median for count, timing in timings.items()}
    first = next(iter(rates.values()), 1.0)
    return [
        SideRow(
            cell.arch, name, settings.engine, count,
            1e3 * timing.median, 1e3 * timing.low, 1e3 * timing.high,
            rates[count], rates[count] / first,
        )
        for count, timing in timings.items()
    ]  # fmt: skip


def _together(made: Sequence[BenchmarkCase], threads: Sequence[Executor], device: torch.device) -> float:
    """Seconds until all of them are done, each in a thread with a stream of its own, as launch.threads has them."""

    def work(each: BenchmarkCase) -> None:
        with on_own_stream(device):
            each.train()

    started = time.perf_counter()
    for done in [thread.submit(work, each) for thread, each in zip(threads, made, strict=False)]:
        done.result()
    return time.perf_counter() - started
