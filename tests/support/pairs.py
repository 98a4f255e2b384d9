"""Cells of adversarial runs: SCS-GAN as published, with its exponents learned, its twin and the hybrid."""

from __future__ import annotations

import dataclasses
from typing import Any

from scs_study.config.schema import CellConfig
from scs_study.data import ImageSet
from scs_study.experiments.compose import CELL_GROUPS, compose_cell

VARIANTS = {
    "published": {"arch": "scs_gan", "layer": "scs_gan", "norm": "none"},
    "sharpened": {"arch": "scs_gan", "layer": "scs_gan_sharpened", "norm": "none"},
    "dcgan": {"arch": "dcgan", "layer": "conv", "norm": "batchnorm"},
    "hybrid": {"arch": "scs_gan_hybrid", "layer": "scs_gan", "norm": "batchnorm"},
}
COMMON = {"activation": "relu", "pooling": "max", "data": "mnist_64", "train": "dcgan", "objective": "adversarial"}


def pair_cell(name: str, **changes: Any) -> CellConfig:
    """The cell of a variant; changes: groups, and settings with __ for their dots."""
    choices = {key: value for key, value in changes.items() if key in CELL_GROUPS}
    settings = {key.replace("__", "."): value for key, value in changes.items() if key not in CELL_GROUPS}
    return compose_cell({**COMMON, **VARIANTS[name], **choices}, settings, 0)


def few(images: ImageSet, train: int = 20, test: int = 12) -> ImageSet:
    """So few images that a step of these networks takes little: evenly spaced, since they are ordered by class."""
    kept = {}
    for split, count in (("train", train), ("test", test)):
        every = len(getattr(images, f"{split}_labels")) // count
        for part in ("images", "labels"):
            kept[f"{split}_{part}"] = getattr(images, f"{split}_{part}")[::every][:count].clone()
    return dataclasses.replace(images, **kept)


def digits_cell(name: str = "published", epochs: int = 2, **changes: Any) -> CellConfig:
    """The cell of a variant on the embedded digits, which need no files, at 64 pixels; batches of 8."""
    settings = {"data__image_size": 64, "data__channels": 1, "data__crop_padding": 0, "data__flip": False}
    settings |= {"train__epochs": epochs, "train__batch_size": 8, **changes}
    return pair_cell(name, **{"data": "digits", **settings})
