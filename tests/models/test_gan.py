"""The pairs of adversarial runs have the sizes that systems.md 5 measured on the public code, and its shapes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from scs_study.config.schema import CellConfig
from scs_study.layers.published import RohrerMay2022Transpose2d, Zimonitrome, ZimonitromeTranspose2d
from scs_study.models import build_variant, check_cell, count_parameters, layer_paths, not_converted
from scs_study.models.gan import LATENT, Abs, Pair
from scs_study.models.initialization import draw
from tests.support.pairs import VARIANTS, pair_cell

HIDDEN = 512 + 256 + 128 + 64
"""Channels of a generator's hidden layers, each of which has an exponent where exponents are learned."""
COUNTS = {
    "published": (3_572_741, 173_051),
    "sharpened": (3_572_741 + HIDDEN, 173_051 + 16 + 32 + 64 + 128 + 1),
    "dcgan": (3_574_656, 174_784),
    "hybrid": (3_574_656, 173_051),
}


def pair(cell: CellConfig) -> Pair:
    network = build_variant(cell, draw(cell.arch, cell.seed, cell.init, cell.data.ends))
    assert isinstance(network, Pair)
    return network


def deviation(network: nn.Module, name: str) -> float:
    return float(network.get_parameter(name).detach().std())


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_counts(name: str) -> None:
    network = pair(pair_cell(name))
    assert (count_parameters(network.generator), count_parameters(network.discriminator)) == COUNTS[name]


@pytest.mark.parametrize("name", VARIANTS)
def test_colours_add_the_weights_of_the_two_ends_alone(name: str) -> None:
    grey, colours = (pair(pair_cell(name, data=data)) for data in ("mnist_64", "cifar10_64"))
    more = count_parameters(colours.generator) - count_parameters(grey.generator)
    assert more == 2 * 64 * 16 + (2 if name in ("published", "sharpened") else 0)
    assert count_parameters(colours.discriminator) - count_parameters(grey.discriminator) == 2 * 16 * 16


@pytest.mark.parametrize("name", VARIANTS)
def test_noise_becomes_an_image_in_the_range_of_pixels_and_an_image_one_logit(name: str) -> None:
    network = pair(pair_cell(name, data="cifar10_64")).eval()
    with torch.no_grad():
        images = network.generator(torch.randn(3, LATENT, 1, 1, generator=torch.Generator().manual_seed(0)))
        logits = network(images)
    assert images.shape == (3, 3, 64, 64)
    assert 0 <= float(images.min()) < float(images.max()) <= 1
    assert logits.shape == (3,)


def test_what_is_swapped_where() -> None:
    kinds = {name: [type(m) for m in pair(pair_cell(name)).modules()] for name in VARIANTS}
    for name in ("published", "sharpened"):
        assert kinds[name].count(ZimonitromeTranspose2d) == 4
        assert kinds[name].count(Zimonitrome) == 5
        assert nn.BatchNorm2d not in kinds[name]
    assert kinds["hybrid"].count(Zimonitrome) == 5
    assert ZimonitromeTranspose2d not in kinds["hybrid"]
    assert kinds["hybrid"].count(nn.BatchNorm2d) == 4
    assert kinds["hybrid"].count(Abs) == 4
    assert (kinds["dcgan"].count(nn.ConvTranspose2d), kinds["dcgan"].count(nn.Conv2d)) == (5, 5)
    assert [path for path, _ in not_converted(pair_cell("published"))] == ["generator.out"]  # as its author left it


@pytest.mark.parametrize("name", VARIANTS)
def test_every_layer_that_learns_kernels_is_in_the_records(name: str) -> None:
    paths = layer_paths(pair(pair_cell(name)))
    assert [path.split(".")[0] for path in paths] == ["generator"] * 5 + ["discriminator"] * 5


def test_variants_share_every_weight_that_they_have_in_common() -> None:
    published, sharpened = (dict(pair(pair_cell(name)).named_parameters()) for name in ("published", "sharpened"))
    assert published.keys() < sharpened.keys()
    assert all(torch.equal(value, sharpened[key]) for key, value in published.items())
    control = pair_cell("published", layer="conv")
    plain = dict(pair(control).named_parameters())
    assert plain.keys() == {key for key in published if not key.endswith("raw_q")}
    assert all(torch.equal(value, published[key]) for key, value in plain.items())


def test_dcgans_law_of_initial_weights_is_drawn_where_the_public_code_draws_it() -> None:
    twin, published = (pair(pair_cell(name)) for name in ("dcgan", "published"))
    for path, network in (("generator.conv2", twin), ("discriminator.conv3", twin), ("discriminator.conv3", published)):
        assert deviation(network, f"{path}.weight") == pytest.approx(0.02, rel=0.05)
    assert deviation(twin, "generator.norm1.weight") == pytest.approx(0.02, rel=0.2)
    bound = 1 / math.sqrt(256 * 16)  # torch's own law: the fan of a transposed kernel is that of its outputs
    assert deviation(published, "generator.conv2.weight") == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_the_studied_layer_stands_in_a_generator_too_and_starts_where_its_range_says() -> None:
    cell = pair_cell("published", layer="rohrer_may2022", layer__p_init=[1.5, 2.5])
    network = pair(cell)
    layer = network.generator.conv1
    assert isinstance(layer, RohrerMay2022Transpose2d)
    assert layer.p is not None
    assert 1.5 <= float(layer.p.detach().min()) < float(layer.p.detach().max()) <= 2.5
    assert layer.norm == "output_channel"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"objective": "classification"}, "scs_gan is a generator and a discriminator; choose objective=adversarial"),
        ({"arch": "rohrer68k", "data": "mnist"}, "rohrer68k is a classifier; choose objective=classification"),
        ({"data": "mnist"}, "scs_gan takes images of 64 pixels only"),
        ({"layer__options__norm": "rows"}, "norm must be one of output_channel, input_channel"),
        ({"layer__options__power": 3}, "layer.options.power=3: must be true or false"),
        ({"layer__p_init": [1.0, 3.0]}, "layer.p_init has no effect with layer.options.power=false"),
        ({"layer": "wang", "layer__options__safe": 1}, "layer.options.safe=1: must be true or false"),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace(".", r"\.")):
        check_cell(pair_cell("published", **change))
