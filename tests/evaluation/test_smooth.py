"""Networks that an attack can follow: a sharpened layer's outputs with the gradients that it would have at p = 1."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scs_study.evaluation.robustness.smooth import can_be_smoothed, smoothed
from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d
from scs_study.models.pool_fusion import fuse_pools

LAYERS = {
    "may2022": lambda **p: SharpenedCosineSimilarity2d(3, 5, 3, **p),
    "mar2022": lambda **p: SharpenedCosineSimilarity2d(3, 5, 3, parameterisation="mar2022", **p),
    "sdp": lambda **p: SharpenedDotProduct2d(3, 5, 3, **p),
}


def images(size: float = 1.0) -> Tensor:
    return torch.rand(4, 3, 9, 9, generator=torch.Generator().manual_seed(1)).mul(size).requires_grad_()


def slope(network: nn.Module, x: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(network(x).sum(), x)
    return found


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_are_the_layers_and_gradients_those_of_p_1(name: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(LAYERS[name](), nn.ReLU()).eval()
    plain = nn.Sequential(LAYERS[name](p=1.0), nn.ReLU()).eval()
    values = {key: value for key, value in network.state_dict().items() if "raw_p" not in key}
    plain.load_state_dict(values, strict=False)
    x = images()
    torch.testing.assert_close(smoothed(network)(x), network(x))
    torch.testing.assert_close(slope(smoothed(network), x), slope(plain, x))
    assert not torch.allclose(slope(network, x), slope(plain, x))


def test_a_gradient_that_vanishes_does_so_no_more() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(SharpenedDotProduct2d(3, 5, 3, p=6.0)).eval()
    x = images(1e-4)
    assert slope(network, x).abs().max() < 1e-12
    assert slope(smoothed(network), x).abs().max() > 1e-2


def test_the_network_stays_as_it_was_and_a_pool_is_taken_along() -> None:
    torch.manual_seed(0)
    network = fuse_pools(nn.Sequential(SharpenedCosineSimilarity2d(3, 5, 3), MaxAbsPool2d(2, ceil_mode=True))).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    x = images()
    torch.testing.assert_close(smoothed(network)(x), network(x))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_where_no_gradient_would_change_there_is_nothing_to_smooth() -> None:
    assert can_be_smoothed(nn.Sequential(SharpenedCosineSimilarity2d(3, 5, 3)))
    assert not can_be_smoothed(nn.Sequential(SharpenedCosineSimilarity2d(3, 5, 3, p=1.0)))
    assert not can_be_smoothed(nn.Sequential(nn.Conv2d(3, 5, 3)))
