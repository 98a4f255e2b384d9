"""Evaluations of a network that draws while it trains: in eval mode they depend on no generator, and touch none."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from scs_study.evaluation.robustness.attacks import KINDS, Method, adversarial
from scs_study.evaluation.saliency.maps import saliency_maps
from scs_study.evaluation.saliency.randomisation import randomised
from scs_study.evaluation.saliency.settings import METHODS, MapSettings
from scs_study.system.randomness import moved, own_random_state, states


def network() -> nn.Module:
    with own_random_state(0):
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.Dropout2d(0.5), StochasticDepth(0.5, "row"), nn.RReLU(), nn.AdaptiveAvgPool2d(4),
            nn.Flatten(), nn.Dropout(0.5), nn.Linear(128, 10),
        ).eval()  # fmt: skip


def inputs() -> tuple[Tensor, Tensor]:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 3])


def stir() -> None:
    torch.rand(5)
    random.random()
    np.random.rand(5)  # noqa: NPY002


@pytest.mark.parametrize(
    "settings",
    [
        MapSettings("gradient"),
        MapSettings("integrated_gradients", steps=3),
        MapSettings("smoothgrad", samples=3, noise=0.1),
    ],
    ids=METHODS,
)
def test_maps(settings: MapSettings) -> None:
    (x, y), net, found = inputs(), network(), []
    for _ in range(2):
        stir()
        before = states()
        found.append(saliency_maps(net, x, y, settings))
        assert moved(before) == set()
    assert torch.equal(*found)


def test_networks_redrawn() -> None:
    (x, y), net, found = inputs(), network(), []
    for _ in range(2):
        stir()
        before = states()
        found.append(randomised(net, x, y, MapSettings(), 0).correlation)
        assert moved(before) == set()
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_attacks(kind: str) -> None:
    (x, y), net, found = inputs(), network(), []
    for _ in range(2):
        stir()
        before = states()
        found.append(adversarial(net, x, y, Method(kind, 4), 8 / 255, seed=0))
        assert moved(before) == set()
    assert torch.equal(*found)
