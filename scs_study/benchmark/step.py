"""Times training and evaluation steps of several variants, in one process and in alternation."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from scs_study.benchmark.naive import naive_network
from scs_study.config.schema import CellConfig
from scs_study.models import build_variant
from scs_study.models.initialization import draw
from scs_study.models.pool_fusion import fuse_pools
from scs_study.training.optimizer import make_optimizer
from scs_study.training.precision import numerics

LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}


@dataclass(frozen=True)
class Timing:
    """Seconds a step: median, and the quartiles around it."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(seconds: list[float]) -> Timing:
        """Return the timing of repeated measurements."""
        quartiles = torch.tensor(seconds, dtype=torch.float64).quantile(torch.tensor([0.5, 0.25, 0.75]).double())
        return Timing(*quartiles.tolist())


@dataclass(frozen=True)
class BenchmarkCase:
    """A network to time. layout: nchw or nhwc (channels_last), of the input and the weights.

    train_steps, eval_steps: how many batches one call of `train` and of `evaluate` works on.
    """

    name: str
    layout: str
    train: Callable[[], None]
    evaluate: Callable[[], None]
    train_steps: float = 1.0
    eval_steps: float = 1.0


def benchmark_cases(cells: Mapping[str, CellConfig], batch_size: int, device: torch.device) -> list[BenchmarkCase]:
    """Return every cell's network in both memory layouts, and a naive copy of each SCS network."""
    made = []
    for name, cell in cells.items():
        for layout in LAYOUTS:
            network = fuse_pools(build_variant(cell, draw(cell.arch, 0, "conv2d", cell.data.ends)))
            made.append(benchmark_case(name, cell, network, layout, batch_size, device))
            if cell.layer.name == "scs":
                network = naive_network(build_variant(cell, draw(cell.arch, 0, "conv2d", cell.data.ends)))
                made.append(benchmark_case(f"{name}, naive", cell, network, layout, batch_size, device))
    return made


def measure(
    made: list[BenchmarkCase],
    rounds: int,
    device: torch.device,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[tuple[str, str], tuple[Timing, Timing]]:
    """(name, layout) -> (training step, evaluation step), each the median of `rounds`, in random order every round.

    warm_up: rounds before those that count. clock: seconds as they are counted.
    """
    seconds: dict[tuple[str, str], tuple[list[float], list[float]]] = {(c.name, c.layout): ([], []) for c in made}
    order = random.Random(0)
    for number in range(rounds + warm_up):
        for each in order.sample(made, len(made)):
            for index, (work, steps) in enumerate(((each.train, each.train_steps), (each.evaluate, each.eval_steps))):
                taken = seconds_of(work, device, clock) / steps
                if number >= warm_up:
                    seconds[each.name, each.layout][index].append(taken)
    return {key: (Timing.of(train), Timing.of(evaluate)) for key, (train, evaluate) in seconds.items()}


def benchmark_case(
    name: str, cell: CellConfig, network: nn.Module, layout: str, batch_size: int, device: torch.device
) -> BenchmarkCase:
    """Return the cell's `network`, to be trained and evaluated on one random batch that stays on the device."""
    network = network.to(device=device, memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(0)
    channels, classes = cell.data.ends
    x = torch.rand(batch_size, channels, *cell.data.size, generator=generator)
    x = x.to(device=device, memory_format=LAYOUTS[layout])
    y = torch.randint(0, classes, (batch_size,), generator=generator).to(device)
    optimizer = make_optimizer(network, cell.train)

    def train() -> None:
        network.train()
        optimizer.zero_grad(set_to_none=True)
        with numerics(cell.train.numerics, device):
            loss = cross_entropy(network(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def evaluate() -> None:
        network.eval()
        with torch.no_grad(), numerics(cell.train.numerics, device):
            network(x)

    return BenchmarkCase(name, layout, train, evaluate)


def seconds_of(work: Callable[[], None], device: torch.device, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds of `clock` that `work` takes, the device's part included."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started
