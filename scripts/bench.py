"""Prints what the layers cost on this machine, as ratios to Conv2d + ReLU + MaxPool: python scripts/bench.py"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
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
from scs_study.benchmark.start import starts
from scs_study.benchmark.table import BASELINE, NETWORK, Row, bench
from scs_study.benchmark.written import write_csv
from scs_study.config.schema import CLASSIFICATION, CellConfig, choice, whole
from scs_study.experiments.compose import compose_cell
from scs_study.layers.registry import LAYERS
from scs_study.models.architectures import ARCHITECTURES
from scs_study.runs.context import run_context
from scs_study.selection import results_folder
from scs_study.system.console import say
from scs_study.training.process import prepare_process
from scs_study.training.run import ENGINES, Settings, device_name

VARIANTS = {name: (f"{name} + maxabs", "none", "maxabs") for name in LAYERS} | {"conv": (BASELINE, "relu", "max")}
CLASSIFIERS = [name for name, each in ARCHITECTURES.items() if each.objective == CLASSIFICATION]
RESNET = ("conv", "scs")
"""The layers of ResNet18, which keeps its ReLU, its BatchNorm and its MaxPool (tables 2 and 8)."""


@dataclass(frozen=True)
class Asked:
    """The settings of conf/bench.yaml, checked, and what every measurement shares."""

    config: DictConfig
    settings: Settings
    engines: Sequence[str]
    layers: Sequence[str]
    rounds: int
    resnet_rounds: int

    @property
    def trained(self) -> list[str]:
        """The engines that train: all but the network alone."""
        return [each for each in self.engines if each != NETWORK]

    @property
    def device(self) -> str:
        """The device's name, for people."""
        return device_name(self.settings.device)

    def cells(self, arch: str) -> dict[str, CellConfig]:
        """Return a cell of the architecture for each layer, by its variant's name."""
        made = {}
        for layer in self.layers:
            variant, activation, pooling = VARIANTS[layer]
            choices = {"arch": arch, "layer": layer, "activation": activation, "pooling": pooling}
            made[variant] = _cell(choices, self.config)
        return made

    def resnets(self, arch: str, size: int = 32) -> dict[str, CellConfig]:
        """Return the cells of a ResNet, which keeps its own ReLU, BatchNorm and MaxPool."""
        shape = {"arch": arch, "activation": "relu", "pooling": "max", "norm": "batchnorm"}
        return {
            BASELINE if layer == "conv" else f"{layer} + relu + max": _cell(
                {**shape, "layer": layer}, self.config, size
            )
            for layer in RESNET
        }


def main(config: DictConfig) -> int:
    """Return exit status 0."""
    prepare_process()
    settings, folder = run_context(config).settings, results_folder(config, "bench")
    asked = Asked(
        config,
        settings,
        engines=[choice("engines", each, (NETWORK, *ENGINES)) for each in config.engines],
        layers=[choice("layers", each, VARIANTS) for each in config.layers],
        rounds=whole("rounds", config.rounds, 1),
        resnet_rounds=whole("resnet18_rounds", config.resnet18_rounds, 1),
    )
    archs, priced, taken_apart = (
        [choice(key, each, CLASSIFIERS) for each in config[key]] for key in ("archs", "price", "epoch_archs")
    )
    sizes = [whole("resnet18", each, 32) for each in config.resnet18]
    price_threads = [whole("price_threads", each, 1) for each in config.price_threads]
    given = config.side_by_side
    if given is None:
        given = GPU_COUNTS if settings.device.type == "cuda" else ()
    counts = [whole("side_by_side", each, 1) for each in given]

    rows, parts = steps(asked, archs, sizes), epoch_parts(asked, taken_apart)
    sides: list[SideRow] = []
    for engine in asked.trained if counts else ():
        sides += side(asked.cells(config.arch.name), replace(settings, engine=engine), counts, asked.rounds)
    slug = re.sub(r"[^a-z0-9]+", "_", asked.device.lower())
    written = []
    if settings.device.type == "cpu" and priced:
        written += write_prices(asked, priced, price_threads, folder)
    if sides:
        say(f"\nCells side by side, {asked.device}\n{_table(sides)}")
        written.append(write_csv(folder / f"side_by_side_{slug}.csv", sides))
    if parts:
        say(f"\nSeconds of an epoch, {asked.device}\n{_table(parts)}")
        written.append(write_csv(folder / f"epochs_{slug}.csv", parts))
    if rows:
        written.append(write_csv(folder / f"steps_{slug}.csv", rows))
        written.append(bench_chart(rows, asked.device, folder, f"steps_{slug}"))
    for path in written:
        say(f"  {path}")
    return 0


def steps(asked: Asked, archs: Sequence[str], sizes: Sequence[int]) -> list[Row]:
    """Return what a step takes: of the architectures, and of ResNet18 at these sizes; shown as they are found."""
    rows: list[Row] = []
    device, name = asked.settings.device, asked.device
    for arch in archs:
        found = bench(asked.cells(arch), asked.engines, device, asked.rounds)
        rows += _shown(found, f"{arch}, {name}, median of {asked.rounds}")
    for size in sizes:
        engines = asked.trained or asked.engines
        found = bench(asked.resnets("resnet18", size), engines, device, asked.resnet_rounds, warm_up=1)
        rows += _shown(found, f"ResNet18 at {size} pixels, {name}, median of {asked.resnet_rounds}")
    return rows


def epoch_parts(asked: Asked, archs: Sequence[str]) -> list[EpochRow]:
    """Return what an epoch takes, taken apart, of the architectures and every engine that trains."""
    parts: list[EpochRow] = []
    for arch in archs:
        for engine in asked.trained:
            with tempfile.TemporaryDirectory() as runs:
                parts += epochs(asked.cells(arch), replace(asked.settings, engine=engine), Path(runs))
    return parts


def write_prices(asked: Asked, archs: Sequence[str], threads: Sequence[int], folder: Path) -> list[Path]:
    """Return the tables of what the layers cost on a CPU, by threads, and of what a process costs once."""
    begun, prices = starts(), [row for count in threads for arch in archs for row in _priced(asked, arch, count)]
    if not prices:
        return []
    say(f"\nCPU milliseconds of a step, {asked.device.split(',')[0]}\n{_table(prices)}")
    say(f"\nOnce a process\n{_table(begun)}")
    return [write_csv(folder / "price_cpu.csv", prices), write_csv(folder / "start_cpu.csv", begun)]


def _table(rows: Sequence[Any]) -> str:
    return str(tabulate([asdict(row) for row in rows], "keys", floatfmt=".3g"))


def _priced(asked: Asked, arch: str, threads: int) -> list[PriceRow]:
    batch = whole("train.batch_size", asked.config.train.batch_size, 1)
    if arch.startswith("resnet"):
        return price(asked.resnets(arch), BASELINE, threads, batch, asked.resnet_rounds, warm_up=1)
    return price(asked.cells(arch), BASELINE, threads, batch, asked.rounds)


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
