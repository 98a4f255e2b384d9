"""Training and evaluation as an engine of a run does them: batches, augmentation, records and schedule included."""

from __future__ import annotations

from dataclasses import replace

import torch

from scs_study.benchmark.step import BenchmarkCase
from scs_study.config.schema import CellConfig
from scs_study.data import ImageSet
from scs_study.models.initialization import InitialWeights, draw
from scs_study.training.run import Settings, Training, build

CALLS = 1_000
"""Epochs that the schedule of a timed run has room for: more than anybody times."""


def engine_case(name: str, cell: CellConfig, settings: Settings, steps: int) -> BenchmarkCase:
    """Return the cell trained by settings.engine, `steps` full batches a call, and evaluated on as many images.

    A GPU is kept busy over many steps at once, so one step alone would say nothing of it.
    """
    images = random_images(steps * cell.train.batch_size, steps * cell.train.batch_size)
    parts = engine_parts(replace(cell, train=replace(cell.train, epochs=CALLS)), images, settings)
    engine = parts.engine
    plan = engine.batches.plan(1)

    def train() -> None:
        log = engine.new_log(steps)
        engine.train_epoch(plan, log, _never)
        assert log.done == steps

    def evaluate() -> None:
        engine.evaluate(_never)

    return BenchmarkCase(name, "nhwc", train, evaluate, steps, steps)


def engine_parts(cell: CellConfig, images: ImageSet, settings: Settings) -> Training:
    """Return the parts of the cell's run on these images, from weights drawn anew."""
    return build(cell, images, InitialWeights(draw(cell.arch, 0, "conv2d", cell.data.ends), ""), settings)


def random_images(train: int, test: int) -> ImageSet:
    """Return an ImageSet of noise in ten classes, with as many training and test images."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator)

    def labels(count: int) -> torch.Tensor:
        return torch.arange(count) % 10

    classes = tuple(str(number) for number in range(10))
    return ImageSet(images(train), labels(train), images(test), labels(test), classes, "noise", "noise")


def _never() -> bool:
    return False
