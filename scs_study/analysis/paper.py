"""The paper's own numbers and recipe, in this project's words: what every table stands ours beside.

"Exploring the Sharpened Cosine Similarity", Tables 1-8 (results/paper/*.csv), sections 4 and 5 and Appendix A.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from scs_study.config.schema import DRAWN
from scs_study.system.places import PAPER

TABLES = tuple(f"table{number}" for number in range(1, 9))

WORDS = MappingProxyType(
    {
        "Conv2d": "conv",
        "SCS": "scs",
        "SharpenedSDP": "sdp",
        "None": "none",
        "ReLU": "relu",
        "MaxPool2d": "max",
        "MaxAbsPool2d": "maxabs",
        "BatchNorm2d": "batchnorm",
    }
)

BASELINE = ("conv", "relu", "max")
"""Layer, activation, pooling of the row that seconds per epoch are compared with: the usual convolutional network."""

RECIPE: Mapping[str, Any] = MappingProxyType(
    {
        "data": "cifar10",  # section 4
        "train.optimizer": "adam",  # Appendix A
        "train.schedule": "onecycle",  # Appendix A
        "train.max_lr": 0.01,  # the number is lost in the text; systems.md 7 and 7.1 argue for 0.01
        "train.weight_decay": 0.0,  # Appendix A, number lost; none in the scripts it borrows from (systems.md 7)
        "train.batch_size": 128,  # not stated; systems.md 7
        "train.label_smoothing": 0.0,  # not stated; systems.md 7
        "train.numerics": "float32",  # PyTorch 1.11/1.12 on P100 and V100 (Appendix A): neither has TF32
        "data.crop_padding": 4,  # RandomCrop (Appendix A); the padding is the scripts' (systems.md 2)
        "data.flip": True,  # RandomHorizontalFlip (Appendix A)
    }
)
"""The paper's training recipe, by the columns of a collected frame. Number of epochs: `paper_epochs`."""


@dataclass(frozen=True)
class PaperRow:
    """One row of a table of the paper. accuracy: maximum test accuracy of one run, a fraction; seconds per epoch."""

    table: str
    architecture: str
    layer: str
    activation: str
    pooling: str
    norm: str
    image_size: int
    accuracy: float
    train_seconds: float
    eval_seconds: float

    @property
    def key(self) -> tuple[str, str, str, str, str, int]:
        """What a cell of ours must agree in to stand beside this row."""
        return self.architecture, self.layer, self.activation, self.pooling, self.norm, self.image_size


@cache
def paper_table(name: str) -> tuple[PaperRow, ...]:
    """Return the rows of one of the paper's tables ("table1" ... "table8"), in the paper's order.

    Raises ValueError for another name; FileNotFoundError where the package was installed without results/paper.
    """
    if name not in TABLES:
        raise ValueError(f"{name}: the paper has {TABLES[0]} to {TABLES[-1]}")
    path = PAPER / f"{name}.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: the paper's tables come with the project's checkout")
    with path.open(newline="") as file:
        return tuple(_row(name, record) for record in csv.DictReader(file))


def paper_tables() -> dict[str, tuple[PaperRow, ...]]:
    """Return all tables of the paper by name."""
    return {name: paper_table(name) for name in TABLES}


def paper_epochs(architecture: str) -> int:
    """Return the paper's number of epochs: 800 for architectures of the scs-gallery, 200 for others (section 4)."""
    return 800 if architecture.startswith("rohrer") else 200


def recipe_differences(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return in what a run's recipe differs from the paper's, in words; empty where it does not.

    row: a row of a collected frame (or anything with its columns). What the paper leaves open and no default of
    systems.md 7 is sure of (how weights and p start) is not counted as a difference.
    """
    found = []
    if row["data"] != RECIPE["data"]:
        found.append(f"data {row['data']}")
    epochs = paper_epochs(str(row["architecture"]))
    if row["epochs"] != epochs:
        found.append(f"{row['epochs']} epoch{'' if row['epochs'] == 1 else 's'}, not {epochs}")
    sizes = (32,) if str(row["architecture"]).startswith("rohrer") else (32, 224)
    if row["image_size"] not in sizes:
        found.append(f"images of {row['image_size']} pixels, not {' or '.join(map(str, sizes))}")
    for key, words in _PHRASES.items():
        value = row.get(key, RECIPE[key])
        if value != RECIPE[key]:
            found.append(words.format(ours=value, paper=RECIPE[key]))
    if row.get("data.crop_padding", 4) != RECIPE["data.crop_padding"]:
        padding = row["data.crop_padding"]
        found.append(f"crop padding {padding}, not 4" if padding else "no random crop")
    if row.get("data.flip", True) != RECIPE["data.flip"]:
        found.append("no horizontal flip")
    if row.get("data.affine") is not None:
        found.append("RandomAffine")
    for key, words in (
        ("randaugment", "RandAugment"),
        ("mixup", "mixup"),
        ("cutmix", "CutMix"),
        ("random_erasing", "random erasing"),
    ):
        if row.get(f"train.{key}") is not None:
            found.append(words)
    return (*found, *_layer_differences(row))


_PHRASES = {
    "train.optimizer": "optimizer {ours}, not {paper}",
    "train.schedule": "schedule {ours}, not {paper}",
    "train.max_lr": "maximum learning rate {ours:g}, not {paper:g}",
    "train.weight_decay": "weight decay {ours:g}, not {paper:g}",
    "train.batch_size": "batches of {ours}, not {paper}",
    "train.label_smoothing": "label smoothing {ours:g}, not {paper:g}",
    "train.numerics": "numerics {ours}, not {paper}",
}


def _layer_differences(row: Mapping[str, Any]) -> list[str]:
    """Return differences from its layer: May 2022's, p learned, clamp +-1, all convolutions replaced (systems.md 7)."""
    found = []
    if row.get("layer.parameterisation") not in (None, "may2022"):
        found.append(f"layer of {row['layer.parameterisation']}, not may2022")
    elif row.get("layer.parameterisation") == "may2022" and row.get("layer.w_max", 1.0) != 1.0:
        limit = row["layer.w_max"]
        found.append("weights not clamped" if limit is None else f"weights clamped to {limit:g}, not 1")
    if row.get("layer.p") is not None and row["layer"] != "cosine":  # the cosine is p = 1 in the paper too (4.2)
        found.append(f"p fixed at {row['layer.p']:g}")
    if row.get("init", DRAWN[0]) not in DRAWN:
        found.append(f"initial weights from a trained network (init={row['init']})")
    if row.get("layer.weight_scale", 1.0) != 1.0:
        found.append(f"initial weights scaled by {row['layer.weight_scale']:g}")
    if row.get("layer.skip_1x1"):
        found.append("1x1 convolutions kept")
    return found


def _row(table: str, record: Mapping[str, str]) -> PaperRow:
    assert record["dropout"] == "None", "no table of the paper uses dropout"
    width, height = record["image_dim"].split("x")
    assert width == height
    return PaperRow(
        table=table,
        architecture=record["architecture"].lower(),
        layer=WORDS[record["layer"]],
        activation=WORDS[record["activation"]],
        pooling=WORDS[record["pooling"]],
        norm=WORDS[record["normalization"]],
        image_size=int(width),
        accuracy=float(record["val_acc"]),
        train_seconds=float(record["train_time_s"]),
        eval_seconds=float(record["eval_time_s"]),
    )
