"""The bundled digits: a fixed set with a fixed split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch
from omegaconf import OmegaConf

from scs_study.config.schema import DATASETS, DataConfig
from scs_study.data import ImageSet, load_images
from scs_study.experiments.compose import compose_cell

FILES = sorted((Path(__file__).parents[2] / "conf" / "data").glob("*.yaml"))
CONFIGS = [path for path in FILES if "defaults" not in OmegaConf.load(path)]
"""Those that do not change another one."""


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    # Neither the root nor the cache is looked at: they need not exist.
    return load_images(DataConfig("digits", 32, 4, False), Path("/nowhere"), Path("/nowhere"), download=False)


def test_the_set_is_fixed(digits: ImageSet) -> None:
    assert digits.digest == "a5db8cc94020630e3f608e2dc13cf7de52a94cf43b3276583ccd2b9489d46871"
    assert digits.classes == tuple("0123456789")
    assert digits.train_images.shape == (1442, 32, 32, 3)
    assert digits.test_images.shape == (355, 32, 32, 3)
    assert digits.train_images.dtype == torch.uint8
    assert digits.train_labels.dtype == torch.int64


def test_the_split_is_stratified(digits: ImageSet) -> None:
    train, test = torch.bincount(digits.train_labels), torch.bincount(digits.test_labels)
    assert (test == (train + test) // 5).all()


def test_every_image_of_scikit_learn_is_there_once_and_four_times_as_large(digits: ImageSet) -> None:
    images = torch.cat([digits.train_images, digits.test_images]).numpy()
    labels = torch.cat([digits.train_labels, digits.test_labels]).tolist()
    assert (images == images[:, ::4, ::4, :1].repeat(4, axis=1).repeat(4, axis=2)).all()
    bundled = sklearn.datasets.load_digits()
    original = np.round(bundled.images * (255 / 16))
    expected = sorted((int(label), image.tobytes()) for image, label in zip(original, bundled.target, strict=True))
    small = images[:, ::4, ::4, 0].astype(float)
    assert sorted((label, image.tobytes()) for image, label in zip(small, labels, strict=True)) == expected


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_shipped_configs(path: Path) -> None:
    values = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(values, dict)
    assert values.pop("root") == "${oc.env:SCS_DATA_DIR,null}"  # where images are is no part of what they are
    if path.stem == "folder":  # what is found in the folder
        values |= {"num_classes": 7, "digest": "0" * 64}
    data = DataConfig(**{str(key): value for key, value in values.items()})
    assert data.crop_padding == 4
    assert (data.trim, data.affine) == (0, None)
    assert data.test_share == (0.2 if path.stem == "folder" else None)
    assert data.image_size == (224 if path.stem == "cifar10_224" else 32)
    assert path.stem in (data.name, f"{data.name}_{data.image_size}")
    assert data.flip is (data.name not in ("digits", "mnist"))  # a mirrored digit is another sign


def test_each_data_set_has_a_config() -> None:
    assert {path.stem for path in CONFIGS} == {*DATASETS, "cifar10_224"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnist_28", DataConfig("mnist", 28, 0, False, channels=1, trim=2)),
        ("mnist_28_held_out", DataConfig("mnist", 28, 0, False, 1, None, 0.08333, 0, trim=2)),
        ("fashion_mnist_28", DataConfig("fashion_mnist", 28, 2, True, channels=1, trim=2)),
        ("cifar10_affine", DataConfig("cifar10", 32, 0, True, affine=(8.0, 0.1, 0.9, 1.1, 2.0))),
    ],
)
def test_the_choices_that_change_a_data_set(name: str, expected: DataConfig) -> None:
    assert compose_cell({"data": name, "arch": "resnet20", "norm": "batchnorm"}, {}, seed=0).data == expected
