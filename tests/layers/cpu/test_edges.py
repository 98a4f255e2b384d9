"""The compiled CPU layers where something may go wrong: zeros, ties, what is not finite, what they leave to torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from scs_study.layers import MaxAbsPool2d, cpu
from scs_study.layers.functional import cosine_power, dot_power
from tests.layers.cpu.definition import EPS, drawn


@pytest.mark.parametrize("pool", [None, MaxAbsPool2d(2), nn.MaxPool2d(2)], ids=["none", "maxabs", "max"])
@pytest.mark.parametrize("p", [0.1, 1.0, 3.0])
def test_empty_kernels_and_patches_give_zeros_and_finite_gradients(p: float, pool: nn.Module | None):
    x, weight, _, q = drawn(3, 2, 3, 5, (8, 8), (3, 3), 1)
    x[:, :, :5] = 0
    x[1] = 0
    weight[1], weight[2] = 0, weight[2] * 1e-14
    leaves = [t.requires_grad_() for t in (x, weight, torch.full((5,), p), q)]
    place: dict[str, Any] = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1, "eps": EPS, "pool": pool}
    for y, used in ((cosine_power(*leaves, **place), leaves), (dot_power(*leaves[:3], **place), leaves[:3])):
        found = torch.autograd.grad(y.sum(), used)
        assert not y[:, 1].any()
        assert not y[1].any()
        assert not found[1][1].any() if y is not None else None
        assert all(torch.isfinite(each).all() for each in (y, *found))


def test_of_equal_magnitudes_the_positive_one_wins_and_of_equal_values_the_first():
    x = torch.tensor([[-2.0, 2.0, 1.0, 1.0], [2.0, -2.0, 1.0, 1.0]]).view(1, 1, 2, 4)
    weight, p = torch.ones(1, 1, 1, 1), torch.ones(1)
    expected = {True: [[0, 1, 1, 0], [0, 0, 0, 0]], False: [[0, 1, 1, 0], [0, 0, 0, 0]]}
    for by_size, pool in ((True, MaxAbsPool2d(2)), (False, nn.MaxPool2d(2))):
        leaf = x.clone().requires_grad_()
        y = dot_power(leaf, weight, p, stride=1, padding=0, dilation=1, groups=1, eps=EPS, pool=pool)
        torch.testing.assert_close(y.flatten(), torch.tensor([2.0, 1.0]) + EPS)
        (g,) = torch.autograd.grad(y.sum(), leaf)
        assert torch.equal(g.view(2, 4), torch.tensor(expected[by_size], dtype=torch.float32))


@pytest.mark.parametrize("value", [float("nan"), -float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("pool", [None, MaxAbsPool2d(2), nn.MaxPool2d(2), MaxAbsPool2d(3, ceil_mode=True)], ids=str)
def test_what_is_not_finite_comes_out_where_torch_has_it(value: float, pool: nn.Module | None):
    x, weight, p, q = drawn(4, 2, 3, 5, (8, 8), (3, 3), 1)
    x[0, 1, 2, 3] = value
    place: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "eps": EPS, "pool": pool}
    results = {}
    for kernels in cpu.KERNELS:
        cpu.choose(kernels)
        leaves = [t.clone().requires_grad_() for t in (x, weight, p, q)]
        y = cosine_power(*leaves, **place)
        results[kernels] = [y, dot_power(*leaves[:3], **place), *torch.autograd.grad(y.sum(), leaves)]
    assert results["auto"][3].isnan().any(), "the kernels' gradient does not tell"
    if value in (float("inf"), -float("inf")):  # 0 * infinity, which torch computes at places that have not won
        results = {kernels: found[:2] for kernels, found in results.items()}
    for ours, theirs in zip(results["auto"], results["plain"], strict=True):
        assert torch.equal(ours.isnan(), theirs.isnan())
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_large_exponents_overflow_and_vanish_as_they_do_in_torch():
    x, weight = torch.tensor([1e-3, 0.5, 30.0, 1e4]).view(1, 1, 1, 4), torch.ones(1, 1, 1, 1)
    for p in (9.5, 11.0, 40.0, 100.0):
        found = {}
        for kernels in cpu.KERNELS:
            cpu.choose(kernels)
            found[kernels] = dot_power(x, weight, p, stride=1, padding=0, dilation=1, groups=1, eps=EPS)
        torch.testing.assert_close(found["auto"], found["plain"], rtol=1e-4, atol=1e-37)


FALLBACKS: dict[str, dict[str, Any]] = {
    "float64": {"dtype": torch.float64},
    "bfloat16": {"dtype": torch.bfloat16},
    "dilation": {"dilation": 2},
    "groups of several channels": {"groups": 2},
    "no eps": {"eps": 0.0},
    "overlapping pool": {"pool": MaxAbsPool2d(3, 2)},
    "padded pool": {"pool": nn.MaxPool2d(2, padding=1)},
}


@pytest.mark.parametrize("name", FALLBACKS)
def test_what_they_do_not_do_torch_does(name: str):
    options = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1, "eps": EPS, **FALLBACKS[name]}
    dtype = options.pop("dtype", torch.float32)
    leaves = [t.to(dtype).requires_grad_() for t in drawn(2, 2, 4, 6, (9, 9), (3, 3), options["groups"])]
    results = []
    for kernels in cpu.KERNELS:
        cpu.choose(kernels)
        y = cosine_power(*leaves, **options)
        results.append([y, *torch.autograd.grad(y.sum(), leaves)])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))


def test_another_word_for_the_kernels_is_refused():
    with pytest.raises(ValueError, match="kernels must be one of auto, plain"):
        cpu.choose("fast")
