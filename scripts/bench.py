"""Prints what the layers cost on this machine, as ratios to Conv2d + ReLU + MaxPool: python scripts/bench.py"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import read_command

if __name__ == "__main__":
    command = read_command("bench")  # wrong words end here, before slow imports

from omegaconf import DictConfig
from tabulate import tabulate

from scs_study.analysis.plots.benchmark import bench_chart
from scs_study.benchmark.epoch import EpochRow, epochs
from scs_study.benchmark.price import PriceRow, price
from scs_study.benchmark.side import GPU_COUNTS, SideRow, side
from scs_study.benchmark.start import StartRow, starts
from scs_study.benchmark.table import BASELINE, NETWORK, Row, bench
from scs_study.benchmark.written import write_csv
from scs_study.config.schema import CellConfig, choice, whole
from scs_study.experiments.compose import compose_cell
from scs_study.layers.registry import LAYERS
from scs_study.models.architectures import ARCHITECTURES, PairArchitecture
from scs_study.runs.context import run_context
from scs_study.selection import results_folder
from scs_study.system.console import say
from scs_study.training.process import prepare_process
from scs_study.training.run import ENGINES, device_name

VARIANTS = {name: (f"{name} + maxabs", "none", "maxabs") for name in LAYERS} | {"conv": (BASELINE, "relu", "max")}
CLASSIFIERS = [name for name, each in ARCHITECTURES.items() if not isinstance(each, PairArchitecture)]
RESNET = ("conv", "scs")
"""The layers of ResNet18, which keeps its ReLU, its BatchNorm and its MaxPool (tables 2 and 8)."""


def main(config: DictConfig) -> int:
    """Return exit status 0."""
    prepare_process()
    context, folder = run_context(config), results_folder(config, "bench")
    device, name = context.settings.device, device_name(context.settings.device)
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower())
    engines = [choice("engines", each, (NETWORK, *ENGINES)) for each in config.engines]
    layers = [choice("layers", each, VARIANTS) for each in config.layers]
    archs = [choice("archs", each, CLASSIFIERS) for each in config.archs]
    rounds = whole("rounds", config.rounds, 1), whole("resnet18_rounds", config.resnet18_rounds, 1)
    sizes = [whole("resnet18", each, 32) for each in config.resnet18]
    given = config.side_by_side
    if given is None:
        given = GPU_COUNTS if device.type == "cuda" else ()
    counts = [whole("side_by_side", each, 1) for each in given]
    priced = [choice("price", each, CLASSIFIERS) for each in config.price]
    price_threads = [whole("price_threads", each, 1) for each in config.price_threads]
    taken_apart = [choice("epoch_archs", each, CLASSIFIERS) for each in config.epoch_archs]

    def cells(arch: str) -> dict[str, CellConfig]:
        made = {}
        for layer in layers:
            variant, activation, pooling = VARIANTS[layer]
            choices = {"arch": arch, "layer": layer, "activation": activation, "pooling": pooling}
            made[variant] = _cell(choices, config)
        return made

    rows: list[Row] = []
    for arch in archs:
        rows += _shown(bench(cells(arch), engines, device, rounds[0]), f"{arch}, {name}, median of {rounds[0]}")
    for size in sizes:
        shape = {"arch": "resnet18", "activation": "relu", "pooling": "max", "norm": "batchnorm"}
        resnets = {
            BASELINE if layer == "conv" else f"{layer} + relu + max": _cell({**shape, "layer": layer}, config, size)
            for layer in RESNET
        }
        chosen = [engine for engine in engines if engine != NETWORK] or engines
        found = bench(resnets, chosen, device, rounds[1], warm_up=1)
        rows += _shown(found, f"ResNet18 at {size} pixels, {name}, median of {rounds[1]}")
    parts: list[EpochRow] = []
    for arch in taken_apart:
        for engine in (each for each in engines if each != NETWORK):
            with tempfile.TemporaryDirectory() as runs:
                parts += epochs(cells(arch), replace(context.settings, engine=engine), Path(runs))
    sides: list[SideRow] = []
    for engine in (each for each in engines if each != NETWORK) if counts else ():
        sides += side(cells(config.arch.name), replace(context.settings, engine=engine), counts, rounds[0])
    prices: list[PriceRow] = []
    begun: list[StartRow] = []
    if device.type == "cpu" and priced:
        begun = starts()
        for threads in price_threads:
            for arch in priced:
                prices += _priced(cells(arch), arch, threads, config, rounds)
    written = []
    if prices:
        say(f"\nCPU milliseconds of a step, {name.split(',')[0]}\n{_table(prices)}")
        say(f"\nOnce a process\n{_table(begun)}")
        written += [write_csv(folder / "price_cpu.csv", prices), write_csv(folder / "start_cpu.csv", begun)]
    if sides:
        say(f"\nCells side by side, {name}\n{tabulate([asdict(each) for each in sides], 'keys', floatfmt='.3g')}")
        written.append(write_csv(folder / f"side_by_side_{slug}.csv", sides))
    if parts:
        say(f"\nSeconds of an epoch, {name}\n{tabulate([asdict(part) for part in parts], 'keys', floatfmt='.3g')}")
        written.append(write_csv(folder / f"epochs_{slug}.csv", parts))
    if rows:
        written.append(write_csv(folder / f"steps_{slug}.csv", rows))
        written.append(bench_chart(rows, name, folder, f"steps_{slug}"))
    for path in written:
        say(f"  {path}")
    return 0


def _table(rows: Sequence[Any]) -> str:
    return str(tabulate([asdict(row) for row in rows], "keys", floatfmt=".3g"))


def _priced(
    cells: dict[str, CellConfig], arch: str, threads: int, config: DictConfig, rounds: tuple[int, int]
) -> list[PriceRow]:
    batch = whole("train.batch_size", config.train.batch_size, 1)
    if arch.startswith("resnet"):
        shape = {"arch": arch, "activation": "relu", "pooling": "max", "norm": "batchnorm"}
        cells = {
            BASELINE if layer == "conv" else f"{layer} + relu + max": _cell({**shape, "layer": layer}, config)
            for layer in RESNET
        }
        return price(cells, BASELINE, threads, batch, rounds[1], warm_up=1)
    return price(cells, BASELINE, threads, batch, rounds[0])


def _cell(choices: dict[str, str], config: DictConfig, size: int = 32) -> CellConfig:
    settings = {
        "train.batch_size": whole("train.batch_size", config.train.batch_size, 1),
        "train.numerics": config.train.numerics,
        "data.image_size": size,
    }
    return compose_cell({**choices, "data": "cifar10"}, settings, 0)


def _shown(rows: list[Row], head: str) -> list[Row]:
    shown = [
        (r.variant, r.engine, r.layout, r.batch, f"{r.train_ms:.1f}", f"{r.train_low:.1f}-{r.train_high:.1f}",
         f"{r.train_x_conv:.2f}", f"{r.train_images_s:.0f}", f"{r.eval_ms:.1f}", f"{r.eval_x_conv:.2f}",
         f"{r.peak_mb:.0f}", "" if r.kernels is None else f"{r.kernels:.0f}",
         "" if r.of_floor is None else f"{r.of_floor:.2f}")
        for r in rows
    ]  # fmt: skip
    columns = ("network", "engine", "layout", "batch", "train ms", "quartiles", "x conv", "images/s", "eval ms",
               "x conv", "peak MB", "kernels", "of floor")  # fmt: skip
    say(f"\n{head} rounds; x conv: against {BASELINE} in its faster layout")
    say(tabulate(shown, columns, disable_numparse=True))
    return rows


if __name__ == "__main__":
    command.run(main)
