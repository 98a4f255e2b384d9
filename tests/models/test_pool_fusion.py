"""A pool taken in before the power gives the same values and gradients, and is taken in only where it may be."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from scs_study.experiments.compose import compose_cell
from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d
from scs_study.models import ARCHITECTURES, build_variant
from scs_study.models.initialization import draw
from scs_study.models.pool_fusion import fuse_pools

ROHRER = sorted(name for name in ARCHITECTURES if name.startswith("rohrer"))


def scs(channels: int = 2, kernels: int = 4, **settings: int) -> SharpenedCosineSimilarity2d:
    return SharpenedCosineSimilarity2d(channels, kernels, 3, dtype=torch.float64, **settings)


def sdp() -> SharpenedDotProduct2d:
    return SharpenedDotProduct2d(2, 4, 3, dtype=torch.float64)


def images(size: int = 11) -> Tensor:
    return torch.randn(3, 2, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def with_gradients(network: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of a weighted sum of it to the input and to every parameter."""
    x = x.clone().requires_grad_()
    y = network(x)
    weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), [x, *network.parameters()])]


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), MaxAbsPool2d(3, 2, 1), MaxAbsPool2d(4, ceil_mode=True)])
@pytest.mark.parametrize("layer", [scs(), scs(groups=2), scs(padding=1, stride=2), sdp()])
def test_values_and_gradients_stay(layer: nn.Module, pool: nn.Module) -> None:
    plain = nn.Sequential(copy.deepcopy(layer), copy.deepcopy(pool), nn.ReLU())
    folded = fuse_pools(copy.deepcopy(plain))
    assert isinstance(folded.get_submodule("1"), nn.Identity)
    for expected, found in zip(with_gradients(plain, images()), with_gradients(folded, images()), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("pooling", ["max", "maxabs"])
@pytest.mark.parametrize("layer", ["scs", "cosine", "sdp"])
@pytest.mark.parametrize("arch", ROHRER)
def test_every_pool_of_the_small_networks_is_taken_in(arch: str, layer: str, pooling: str) -> None:
    cell = compose_cell({"arch": arch, "layer": layer, "pooling": pooling}, {}, seed=0)
    shared = draw(arch, 0, "conv2d")
    plain, folded = build_variant(cell, shared), fuse_pools(build_variant(cell, shared))
    assert [type(module) for name, module in folded.named_children() if name.startswith("pool")] == [nn.Identity] * 3
    assert list(folded.state_dict()) == list(plain.state_dict())
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(folded(x), plain(x), rtol=1e-5, atol=1e-6)


def test_a_convolution_keeps_its_pool() -> None:
    network = fuse_pools(nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2)))
    assert isinstance(network.get_submodule("1"), nn.MaxPool2d)


@pytest.mark.parametrize(
    "between",
    [nn.BatchNorm2d(4), nn.ReLU()],
    ids=["a norm", "an activation"],
)
def test_what_stands_between_keeps_them_apart(between: nn.Module) -> None:
    network = fuse_pools(nn.Sequential(scs(), between, nn.MaxPool2d(2)))
    assert isinstance(network.get_submodule("2"), nn.MaxPool2d)


def test_a_pool_whose_positions_are_wanted_is_left_alone() -> None:
    network = fuse_pools(nn.Sequential(scs(), MaxAbsPool2d(2, return_indices=True)))
    assert isinstance(network.get_submodule("1"), MaxAbsPool2d)


def test_an_activation_that_stands_in_several_places_is_seen_in_each() -> None:
    relu = nn.ReLU()
    network = nn.Sequential(scs(2, 2, padding=1), relu, nn.MaxPool2d(2), scs(2, 2, padding=1), relu, nn.MaxPool2d(2))
    assert [type(module) for module in fuse_pools(network)].count(nn.MaxPool2d) == 2


def test_what_may_do_something_else_is_left_alone() -> None:
    class Layer(SharpenedDotProduct2d):
        pass

    class Backwards(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            layer, pool = self
            return layer(pool(x))

    assert isinstance(fuse_pools(nn.Sequential(Layer(2, 4, 3), nn.MaxPool2d(2)))[1], nn.MaxPool2d)
    assert isinstance(fuse_pools(Backwards(scs(), nn.MaxPool2d(2)))[1], nn.MaxPool2d)


@pytest.mark.parametrize("pair", [(-0.35000002, 0.35), (0.35, -0.35000002), (-1e-13, 5e-14)])
def test_of_bases_whose_powers_round_to_one_size_the_larger_is_kept(pair: tuple[float, float]) -> None:
    """The powers alone no longer tell which was larger; MaxAbsPool2d after the power keeps the positive one."""
    layer = SharpenedDotProduct2d(1, 1, 1, p=0.1)
    nn.init.ones_(layer.weight)
    x = torch.tensor(pair).view(1, 1, 1, 2)
    plain = nn.Sequential(layer, MaxAbsPool2d((1, 2)))
    after = plain(x)
    before = fuse_pools(plain)(x)
    assert after > 0
    assert before.sign() == x.flatten()[x.abs().argmax()].sign()
    torch.testing.assert_close(before.abs(), after)


def test_modules_that_stand_in_several_places_are_left_alone() -> None:
    layer, pool = scs(2, 2, padding=1), nn.MaxPool2d(2)
    network = nn.Sequential(layer, pool, layer, nn.MaxPool2d(2), scs(2, 2, padding=1), pool)
    expected = network(images())
    folded = fuse_pools(network)
    assert not any(isinstance(module, nn.Identity) for module in folded.modules())
    assert torch.equal(folded(images()), expected)
