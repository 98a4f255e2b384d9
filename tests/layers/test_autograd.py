"""The signed power's gradients keep the layout of what they belong to: another one costs its receiver a copy."""

from __future__ import annotations

import pytest
import torch

from scs_study.layers.autograd import signed_power


@pytest.mark.parametrize(("groups", "kernels"), [(1, 6), (3, 6), (6, 6)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_gradients_come_in_the_layout_of_value_and_scale(groups: int, kernels: int, layout: torch.memory_format):
    torch.manual_seed(0)
    v = torch.randn(2, kernels, 4, 5).contiguous(memory_format=layout).requires_grad_()
    scale = torch.rand(2, groups, 4, 5).contiguous(memory_format=layout).requires_grad_()
    y = signed_power(v, scale, torch.rand(kernels), 1e-6)
    gradients = torch.autograd.grad(y, (v, scale), torch.randn_like(y))
    assert y.is_contiguous(memory_format=layout)
    assert all(gradient.is_contiguous(memory_format=layout) for gradient in gradients)
