"""The data of a cell on a folder of somebody's own images, and the images themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scs_study.config.schema import DataConfig
from scs_study.data import ImageSet, load_images
from scs_study.data.image_folder import read_folder


def config(root: Path, cache: Path, **changes: Any) -> DataConfig:
    """The data of a cell on the images in `root`."""
    folder = read_folder(root, cache)
    split = {} if folder.test is not None else {"test_share": 0.2, "split_seed": 0}
    values = {"fit": "crop", "num_classes": len(folder.classes), "digest": folder.digest, **split, **changes}
    return DataConfig("folder", values.pop("image_size", (48, 40)), 4, True, **values)


def load(root: Path, cache: Path, **changes: Any) -> ImageSet:
    return load_images(config(root, cache, **changes), root, cache, download=False)
