"""The published pools: what they do with ties, signs and edges, held against their public code's outcomes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scs_study.layers.published import (
    POOLS,
    HoggAbsPool2d,
    PisoniMaxAbsPool2d,
    RohrerJaxMaxAbsPool2d,
    ZimonitromeMaxAbsPool2d,
)

MAP = torch.tensor([[[[-2.0, 2.0, 1.0, -3.0], [0.5, 1.0, 3.0, 0.0]]]])


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (HoggAbsPool2d, [2.0, 3.0]),  # of equal magnitudes the positive
        (RohrerJaxMaxAbsPool2d, [-2.0, -3.0]),  # the negative
        (PisoniMaxAbsPool2d, [-2.0, -3.0]),  # the first
        (ZimonitromeMaxAbsPool2d, [2.0, 3.0]),  # the magnitude
    ],
)
def test_ties(kind, wanted):
    assert kind(2)(MAP).flatten().tolist() == wanted


def test_first_of_a_tie_is_the_first_of_its_window_row_by_row():
    assert PisoniMaxAbsPool2d(2)(-MAP).flatten().tolist() == [2.0, 3.0]
    assert PisoniMaxAbsPool2d(2)(MAP.flip(-1)).flatten().tolist() == [-3.0, 2.0]


@pytest.mark.parametrize("name", POOLS)
def test_without_ties_all_agree_up_to_the_sign(name):
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pooled = POOLS[name].from_pool(nn.MaxPool2d(2))(x)
    wanted = HoggAbsPool2d(2)(x)
    assert torch.equal(pooled, wanted.abs() if name == "zimonitrome" else wanted)


@pytest.mark.parametrize("kind", [HoggAbsPool2d, RohrerJaxMaxAbsPool2d, ZimonitromeMaxAbsPool2d])
@pytest.mark.parametrize("geometry", [{}, {"stride": 2, "padding": 1}, {"ceil_mode": True}], ids=str)
def test_geometry_is_max_pools(kind, geometry):
    pool = nn.MaxPool2d(3, **geometry)
    x = torch.randn(1, 2, 8, 7)
    assert kind.from_pool(pool)(x).shape == pool(x).shape


@pytest.mark.parametrize("name", POOLS)
def test_gradients_in_float64(name):
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(POOLS[name](2), x)


def test_pisonis_pool_leaves_a_rest_out_or_pads_around():
    x = torch.arange(1.0, 26).reshape(1, 1, 5, 5)
    assert PisoniMaxAbsPool2d(2)(x).flatten().tolist() == [7, 9, 17, 19]
    assert PisoniMaxAbsPool2d(2, True)(x).flatten().tolist() == [7, 9, 10, 17, 19, 20, 22, 24, 25]
    assert PisoniMaxAbsPool2d(2, True, safe=False)(x).flatten().tolist() == [7, 9, 10, 17, 19, 20, 22, 24, 25]


def test_pisonis_pool_as_published_cannot_pad_to_windows_of_three():
    x = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    assert PisoniMaxAbsPool2d(3, True)(x).flatten().tolist() == [6, 8, 14, 16]  # one row and column of zeros before
    with pytest.raises(ValueError, match="width 4"):
        PisoniMaxAbsPool2d(3, True, safe=False)(x)


def test_pools_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="dilation"):
        HoggAbsPool2d.from_pool(nn.MaxPool2d(2, dilation=2))
    with pytest.raises(ValueError, match="side by side"):
        PisoniMaxAbsPool2d.from_pool(nn.MaxPool2d(3, 2))
    with pytest.raises(ValueError, match="pool_size"):
        PisoniMaxAbsPool2d(0)
    with pytest.raises(ValueError, match="padding"):
        HoggAbsPool2d(2, padding=2)
