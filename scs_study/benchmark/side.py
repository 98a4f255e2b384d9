"""How many cells side by side one device takes: the time of a step of each, and of all of them together."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from scs_study.benchmark.engines import engine_contestant
from scs_study.benchmark.step import Contestant, Timing
from scs_study.config.schema import CellConfig
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
    """A row for every variant and number of cells, the numbers in alternation; the cells differ in their seeds."""
    rows: list[SideRow] = []
    steps = GPU_STEPS if settings.device.type == "cuda" else CPU_STEPS
    for name, cell in cells.items():
        made = [
            engine_contestant(name, replace(cell, seed=seed), settings, steps) for seed in range(max(counts, default=0))
        ]
        seconds: dict[int, list[float]] = {count: [] for count in counts}
        for number in range(rounds + WARM_UP):
            for count in counts:
                taken = _together(made[:count], settings.device) / steps
                if number >= WARM_UP:
                    seconds[count].append(taken)
        first = None
        for count, taken_each in seconds.items():
            timing = Timing.of(taken_each)
            rate = count * cell.train.batch_size / timing.median
            first = rate if first is None else first
            rows.append(
                SideRow(
                    cell.arch,
                    name,
                    settings.engine,
                    count,
                    1e3 * timing.median,
                    1e3 * timing.low,
                    1e3 * timing.high,
                    rate,
                    rate / first,
                )
            )
    return rows


def _together(made: Sequence[Contestant], device: torch.device) -> float:
    """Seconds until all of them are done, each in a thread with a stream of its own, as study.side_by_side has them."""
    raised: list[BaseException] = []

    def work(each: Contestant) -> None:
        stream: Any = contextlib.nullcontext()
        if device.type == "cuda":
            stream = torch.cuda.stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
        try:
            with stream:
                each.train()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in made]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
    return time.perf_counter() - started
