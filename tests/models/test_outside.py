"""A network of somebody else's project: a function, or an Architecture where it takes not all images, or classifies
nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from scs_study.config.identity import code_of
from scs_study.config.schema import CellConfig
from scs_study.experiments.compose import compose_cell
from scs_study.models import ARCHITECTURES, check_cell

SOURCE = """
from torch import nn
from scs_study.models import Architecture

def plain(num_classes, in_channels):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))

def halves(num_classes, in_channels):
    return nn.Sequential(nn.Conv2d(in_channels, 1, 2, 2))

LARGE = Architecture(plain, (48, (48, 40)))
HALVES = Architecture(halves, (), objective="denoising")
NUMBER = 3
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(ARCHITECTURES)
    (tmp_path / "elsewhere.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    ARCHITECTURES.clear()
    ARCHITECTURES.update(before)


def cell_of(name: str, size: int = 32, objective: str = "classification") -> CellConfig:
    plain = compose_cell({"data": "digits"}, {"data.image_size": size}, 0)
    targets = (("arch", f"elsewhere.{name}"),)
    cell = dataclasses.replace(plain, arch=name.lower(), objective=objective, targets=targets)
    return dataclasses.replace(cell, code=code_of({"arch": cell.arch}, dict(targets)))


@pytest.mark.usefixtures("elsewhere")
def test_a_function_takes_images_of_any_size() -> None:
    for size in (32, 48):
        check_cell(cell_of("plain", size))


@pytest.mark.usefixtures("elsewhere")
def test_an_architecture_says_which_sizes_it_takes() -> None:
    check_cell(cell_of("LARGE", 48))
    with pytest.raises(ValueError, match=r"data\.image_size=32: large takes images of 48, 48x40 pixels only"):
        check_cell(cell_of("LARGE"))


@pytest.mark.usefixtures("elsewhere")
def test_a_network_that_is_no_classifier_says_whose_it_is_and_answers_as_it_likes() -> None:
    check_cell(cell_of("HALVES", objective="denoising"))
    with pytest.raises(ValueError, match=r"objective=classification: halves is .*; choose objective=denoising"):
        check_cell(cell_of("HALVES"))


@pytest.mark.usefixtures("elsewhere")
def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"arch\._target_=elsewhere\.NUMBER: must be a function"):
        check_cell(cell_of("NUMBER"))
