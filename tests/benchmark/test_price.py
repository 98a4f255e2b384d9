"""The price of the layers beside convolutions: the fused convolution is the same function, and ratios are ratios."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from scs_study.benchmark.fused_conv import FusedConv, fused_network
from scs_study.benchmark.price import FLOAT32, FUSED, NAIVE, PLAIN, price
from scs_study.benchmark.start import starts
from scs_study.benchmark.table import BASELINE
from scs_study.layers import cpu
from tests.benchmark.test_bench import cell


def network(pool: int, ceil: bool) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 7, 3, padding=1), nn.MaxPool2d(pool, ceil_mode=ceil), nn.ReLU(),
        nn.Conv2d(7, 20, 3), nn.MaxPool2d(2, ceil_mode=True), nn.ReLU(), nn.Flatten(),
    ).to(memory_format=torch.channels_last)  # fmt: skip


@pytest.mark.parametrize(("pool", "ceil"), [(2, True), (2, False), (3, True), (4, False)])
def test_a_fused_convolution_computes_what_the_plain_one_does(pool: int, ceil: bool) -> None:
    x = torch.randn(5, 3, 15, 17).contiguous(memory_format=torch.channels_last).requires_grad_()
    found = []
    for made in (network(pool, ceil), fused_network(network(pool, ceil))):
        y = made(x)
        leaves = [x, *made.parameters()]
        found.append([y, *torch.autograd.grad(y.square().sum(), leaves)])
    assert sum(isinstance(module, FusedConv) for module in made) == 2
    for fused, plain in zip(*reversed(found), strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-4)


def test_every_price_is_a_ratio_to_the_network_it_is_named_after() -> None:
    cells = {BASELINE: cell("conv"), "scs + max": cell("scs"), "sdp + max": cell("sdp")}
    rows = {row.variant: row for row in price(cells, BASELINE, threads=1, batch=4, rounds=1, warm_up=0)}
    scs = "scs + max"
    assert set(rows) == {BASELINE, BASELINE + FUSED, scs, scs + PLAIN, scs + NAIVE, "sdp + max"}
    for row in rows.values():
        assert row.train_x_conv == pytest.approx(row.train_ms / rows[BASELINE].train_ms)
        assert row.eval_x_conv == pytest.approx(row.eval_ms / rows[BASELINE].eval_ms)
        assert row.train_x_fused == pytest.approx(row.train_ms / rows[BASELINE + FUSED].train_ms)
        assert row.eval_x_fused == pytest.approx(row.eval_ms / rows[BASELINE + FUSED].eval_ms)
        assert row.train_x_naive == pytest.approx(row.train_ms / rows[scs + NAIVE].train_ms)
    assert cpu.kernel_name("auto") != cpu.PLAIN


def test_of_bf16_the_same_networks_in_float32_are_measured_beside_it() -> None:
    cells = {
        name: replace(each, train=replace(each.train, numerics="bf16"))
        for name, each in ((BASELINE, cell("conv")), ("sdp + max", cell("sdp")))
    }
    rows = {row.variant: row.numerics for row in price(cells, BASELINE, threads=1, batch=4, rounds=1, warm_up=0)}
    exact = {name + FLOAT32: "float32" for name in cells}
    assert rows == dict.fromkeys(cells, "bf16") | exact


@pytest.mark.slow
def test_the_loops_are_compiled_once_and_then_taken_from_the_store() -> None:
    torchs, compiled, stored = starts()
    assert [row.kernels for row in (torchs, compiled, stored)] == ["torch", "compiled now", "from the store"]
    assert compiled.process_mb > stored.process_mb > torchs.process_mb
