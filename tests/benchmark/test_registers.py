"""What the Triton kernels take of a GPU's registers, compiled where there is none."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from scs_study.benchmark.registers import registers
from scs_study.benchmark.step_kernels import step_kernels, traced
from scs_study.experiments.compose import compose_cell
from scs_study.layers import SharpenedCosineSimilarity2d
from scs_study.layers.kernels import fused, start
from tests.benchmark.test_bench import cell


@pytest.mark.skipif(not start.HAVE_TRITON, reason="torch comes without Triton on this system")
def test_the_kernels_of_a_step_fit_into_registers() -> None:
    launch, rows = fused.launch, registers({"rohrer68k": step_kernels(cell("scs"))})
    assert {
        "power_forward",
        "power_backward",
        "energy_forward",
        "energy_backward",
        "unit_backward",
        "optimizer_step",
    } <= {row.kernel for row in rows}
    assert len({(row.kernel, row.columns, row.tile, row.programs) for row in rows}) == len(rows)
    for row in rows:
        assert 0 < row.registers < 255, row
        assert row.spill_stores == row.spill_loads == 0, row
    assert fused.launch is launch
    assert SharpenedCosineSimilarity2d(3, 4, 3)(torch.ones(1, 3, 5, 5)).isfinite().all(), "all is as before"


@pytest.mark.parametrize(("arch", "most"), [("rohrer100k", 50), ("rohrer25k", 55)])
def test_a_step_starts_few_kernels(arch: str, most: int) -> None:
    """For a depthwise layer (Rohrer25K) none more than for another; one more would show in each of its layers."""
    choices = {"arch": arch, "layer": "scs", "activation": "none", "pooling": "maxabs", "data": "cifar10"}
    trace = step_kernels(compose_cell(choices, {}, 0))
    layers = {"rohrer100k": 3, "rohrer25k": 4}[arch]
    counts = Counter(trace.kernels)
    assert len(trace.kernels) <= most, trace.kernels
    for name in ("unit_forward", "energy_forward", "convolution", "power_forward", "power_backward", "unit_backward"):
        assert counts[name] == layers
    assert counts["energy_backward"] == layers - 1, "the images need no gradient"
    assert counts["training_batch"] == counts["cross_entropy"] == counts["optimizer_step"] == counts["norms"] == 1


def test_what_a_trace_counts_is_what_starts_a_kernel() -> None:
    weight = torch.ones(2, 3, 1, 1, requires_grad=True)
    with traced() as trace:
        x = torch.empty(1, 3, 4, 4).fill_(1.0)
        x = x.view(1, 3, 16).transpose(1, 2).contiguous().transpose(1, 2).reshape(1, 3, 4, 4)
        torch.conv2d(x, weight).sum().backward()
    assert trace.kernels == ["fill_", "clone", "convolution", "sum", "ones_like", "convolution_backward"]
    assert trace.starts == []
