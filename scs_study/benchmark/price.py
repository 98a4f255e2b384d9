"""What the sharpened layers cost on a CPU beside convolutions, plain and fused the same way, and the naive layer.

One process, in alternation, medians, CPU time: what others do on the machine changes ratios least so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from scs_study.benchmark.naive import naive_network
from scs_study.benchmark.step import BenchmarkCase, benchmark_case, measure
from scs_study.config.schema import CellConfig
from scs_study.layers import cpu
from scs_study.models import build_variant
from scs_study.models.initialization import draw
from scs_study.models.pool_fusion import fuse_pools

CPU = torch.device("cpu")
FUSED, NAIVE = ", fused", ", naive"
FLOAT32 = ", float32"
PLAIN = ", torch's operations"


@dataclass(frozen=True)
class PriceRow:
    """A network's CPU milliseconds of a training and of an evaluation step, and their ratios to three others.

    conv: Conv2d + ReLU + MaxPool; fused: the same, fused as the sharpened layers are (none where a network has no
    pools that it can take in); naive: the SCS formulas as they stand (none without SCS). numerics: train.numerics. For
    bf16 each variant has a row in float32 too, so that what it saves is measured in the same alternation.
    """

    architecture: str
    numerics: str
    pixels: int
    threads: int
    batch: int
    variant: str
    train_ms: float
    eval_ms: float
    train_x_conv: float
    eval_x_conv: float
    train_x_fused: float | None
    eval_x_fused: float | None
    train_x_naive: float | None


def price(
    cells: Mapping[str, CellConfig], baseline: str, threads: int, batch: int, rounds: int, warm_up: int = 2
) -> list[PriceRow]:
    """Return a row for each of one architecture's cells, fused and naive too; `baseline` names the convolutional one.

    Computes with so many threads of torch, and leaves their number and the choice of kernels as they were.
    """
    before, first = torch.get_num_threads(), next(iter(cells.values()))
    torch.set_num_threads(threads)
    try:
        made = _cases(cells, baseline, batch)
        timings = measure(made, rounds, CPU, warm_up, time.process_time)
    finally:
        torch.set_num_threads(before)
        cpu.choose(cpu.KERNELS[0])
    medians = {name: (train.median, evaluate.median) for (name, _), (train, evaluate) in timings.items()}
    conv, fused = medians[baseline], medians.get(baseline + FUSED)
    naive = next((each for name, each in medians.items() if name.endswith(NAIVE)), None)
    return [
        PriceRow(
            first.arch, "float32" if name.endswith(FLOAT32) else first.train.numerics, first.data.size[0],
            threads, batch, name, 1e3 * train, 1e3 * evaluate,
            train / conv[0], evaluate / conv[1],
            train / fused[0] if fused else None, evaluate / fused[1] if fused else None,
            train / naive[0] if naive else None,
        )
        for name, (train, evaluate) in medians.items()
    ]  # fmt: skip


def _cases(cells: Mapping[str, CellConfig], baseline: str, batch: int) -> list[BenchmarkCase]:
    made = []
    compiled = cpu.kernel_name(cpu.KERNELS[0]) != cpu.PLAIN

    def add(name: str, cell: CellConfig, network: nn.Module, kernels: str = cpu.KERNELS[0]) -> None:
        each = benchmark_case(name, cell, network, "nhwc", batch, CPU)
        made.append(BenchmarkCase(name, "nhwc", _by(kernels, each.train), _by(kernels, each.evaluate)))

    for name, cell in cells.items():
        add(name, cell, fuse_pools(_network(cell)))
        if cell.train.numerics != "float32":
            exact = replace(cell, train=replace(cell.train, numerics="float32"))
            add(name + FLOAT32, exact, fuse_pools(_network(cell)))
        network = _network(cell)
        # The fused convolution knows float32 alone.
        if name == baseline and compiled and cell.train.numerics == "float32" and isinstance(network, nn.Sequential):
            from scs_study.benchmark.fused_conv import fused_network  # which cannot do without numba

            add(name + FUSED, cell, fused_network(network))
        if cell.layer.name == "scs":
            add(name + PLAIN, cell, fuse_pools(_network(cell)), "plain")
            add(name + NAIVE, cell, naive_network(_network(cell)))
    return made


def _network(cell: CellConfig) -> nn.Module:
    return build_variant(cell, draw(cell.arch, 0, "conv2d"))


def _by(kernels: str, work: Callable[[], None]) -> Callable[[], None]:
    def chosen() -> None:
        cpu.choose(kernels)
        work()

    return chosen
