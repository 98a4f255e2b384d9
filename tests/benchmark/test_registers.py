"""What the Triton kernels take of a GPU's registers, compiled where there is none."""

from __future__ import annotations

import pytest
import torch

from scs_study.benchmark.registers import registers
from scs_study.layers import SharpenedCosineSimilarity2d
from scs_study.layers.kernels import fused, start
from tests.benchmark.test_bench import cell


@pytest.mark.skipif(not start.HAVE_TRITON, reason="torch comes without Triton on this system")
def test_the_kernels_of_a_step_fit_into_registers() -> None:
    launch, rows = fused.launch, registers([cell("scs")], batch=2)
    assert {"power_forward", "power_backward", "energy_forward", "unit_forward", "unit_backward", "adam_step"} <= {
        row.kernel for row in rows
    }
    assert len({(row.kernel, row.columns, row.tile, row.programs) for row in rows}) == len(rows)
    for row in rows:
        assert 0 < row.registers < 255, row
        assert row.spill_stores == row.spill_loads == 0, row
    assert fused.launch is launch
    assert SharpenedCosineSimilarity2d(3, 4, 3)(torch.ones(1, 3, 5, 5)).isfinite().all(), "all is as before"
