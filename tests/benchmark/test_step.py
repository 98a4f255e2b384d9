"""The bench compares like with like, and times every case."""

from __future__ import annotations

import pytest
import torch

from scs_study.benchmark.naive import NaiveMaxAbsPool2d, NaiveSharpenedCosineSimilarity2d
from scs_study.benchmark.step import Timing, benchmark_cases, measure
from scs_study.experiments.compose import compose_cell
from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d


@pytest.mark.parametrize("groups", [1, 4])
def test_the_naive_layer_computes_the_same_function_and_gradients(groups: int) -> None:
    torch.manual_seed(0)
    layer = SharpenedCosineSimilarity2d(4, 8, 3, padding=1, stride=2, groups=groups, dtype=torch.float64)
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64, requires_grad=True)
    parameters = [x, layer.weight, layer.raw_p, layer.raw_q]
    direction = torch.randn_like(layer(x))
    fast = torch.autograd.grad((layer(x) * direction).sum(), parameters)
    naive = NaiveSharpenedCosineSimilarity2d(layer)
    assert torch.allclose(naive(x), layer(x), atol=1e-12)
    slow = torch.autograd.grad((naive(x) * direction).sum(), parameters)
    for a, b in zip(fast, slow, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-9)


def test_the_naive_pool_computes_the_same_function_and_gradients() -> None:
    pool = MaxAbsPool2d(3, 2, padding=1, ceil_mode=True)
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64, requires_grad=True)
    naive = NaiveMaxAbsPool2d(pool)
    assert torch.equal(naive(x), pool(x))
    fast, slow = (torch.autograd.grad(each(x).square().sum(), x)[0] for each in (pool, naive))
    assert torch.equal(fast, slow)


def test_every_case_is_timed_in_both_layouts() -> None:
    cells = {name: compose_cell({"arch": "rohrer68k", "layer": name}, {}, 0) for name in ("conv", "scs")}
    made = benchmark_cases(cells, 4, torch.device("cpu"))
    timings = measure(made, 2, torch.device("cpu"))
    assert set(timings) == {(n, layout) for n in ("conv", "scs", "scs, naive") for layout in ("nchw", "nhwc")}
    assert all(0 < timing.low <= timing.median <= timing.high for pair in timings.values() for timing in pair)


def test_a_timing_is_the_median_and_the_quartiles() -> None:
    assert Timing.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Timing(3.0, 2.0, 4.0)
