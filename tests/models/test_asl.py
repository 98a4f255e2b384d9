"""Wagner's sign language network: its sizes are those that systems.md 5 computed, and the head keeps its ReLU."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from scs_study.config.schema import CellConfig
from scs_study.experiments.compose import compose_cell
from scs_study.models import build_variant, check_cell, count_parameters
from scs_study.models.architectures import plain_network
from scs_study.models.initialization import draw
from scs_study.models.variant import remarks

SIGNS = 29


def cell(layer: str, activation: str, pooling: str) -> CellConfig:
    """The cell of a folder with 29 classes."""
    choices = {"arch": "asl", "layer": layer, "activation": activation, "pooling": pooling}
    found = compose_cell(choices, {"data.image_size": 64}, 0)
    data = dataclasses.replace(
        found.data, name="folder", num_classes=SIGNS, fit="stretch", digest="0" * 64, test_share=0.1, split_seed=0
    )
    return dataclasses.replace(found, data=data)


@pytest.mark.parametrize(
    ("layer", "activation", "pooling", "count"),
    [("conv", "relu", "max", 602_333), ("pisoni", "none", "maxabs", 602_338), ("scs", "none", "maxabs", 602_338)],
)
def test_parameter_counts(layer: str, activation: str, pooling: str, count: int) -> None:
    which = cell(layer, activation, pooling)
    check_cell(which)
    network = build_variant(which, draw("asl", 0, "conv2d", which.data.ends)).eval()
    assert count_parameters(network) == count
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, SIGNS)
    assert remarks([which]) == []


def test_the_squared_parameters_start_where_wagners_do() -> None:
    which = cell("pisoni", "none", "maxabs")
    network = build_variant(which, draw("asl", 0, "conv2d", which.data.ends))
    for number in range(1, 6):
        layer = network.get_submodule(f"conv{number}")
        torch.testing.assert_close(layer.p, torch.ones_like(layer.p))
        torch.testing.assert_close(layer.q, torch.ones(()))
        torch.testing.assert_close(layer.raw_p, torch.full_like(layer.raw_p, 10.0))


def test_the_head_has_a_relu_in_every_variant() -> None:
    network = plain_network("asl", (3, SIGNS))
    dense = network.get_submodule("dense")
    assert float(dense(torch.randn(8, 512)).detach().min()) == 0
    assert build_variant(cell("scs", "none", "max"), draw("asl", 0, "conv2d", (3, SIGNS))).get_submodule("dense")


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="asl takes images of 64 pixels only"):
        check_cell(compose_cell({"arch": "asl"}, {}, 0))
