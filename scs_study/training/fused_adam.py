"""Adam's step on one vector as one kernel, for CUDA, with rates that it reads from the device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import custom_op

from scs_study.layers.kernels.start import launch, triton_starts

BLOCK = 1024


def usable(values: Tensor) -> bool:
    """Return whether `adam` takes the vector: on CUDA, where Triton starts."""
    return values.is_cuda and triton_starts(values.device)


@custom_op("scs_study::adam", mutates_args=("values", "first", "second"))
def adam(
    values: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    factors: Tensor,
    at: Tensor,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Move values, first and second, float32 (N,), by a step with the rates in row `at` of factors.

    factors: float32 (S, 3): 1 - beta1, -lr / (1 - beta1^t), sqrt(1 - beta2^t). at: int64 (1,), on the device.
    """
    from scs_study.training import adam_kernel

    size = values.numel()
    arguments = (values, gradient, first, second, factors, at, size, beta2, 1 - beta2, eps, weight_decay)
    launch(adam_kernel.adam_step, -(-size // BLOCK), values.device, *arguments, BLOCK=BLOCK)


@adam.register_fake
def _(values: Tensor, *_: object) -> None:
    assert torch.is_tensor(values)
