"""An optimizer's step on one vector as one kernel, for CUDA, with rates that it reads from the device and the layers'
clamps in it; and the norms that are logged of it as another.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scs_study.layers.kernels.start import launch, triton_starts

SLOTS = 16
"""Slots that a program steps: 1024 values."""
BLOCK = 256
"""Slots whose squares a program adds up at a time."""


@dataclass(frozen=True)
class Vectors:
    """What a step works on, float32 (N,): parameters, gradients and the optimizer's state, in slots of equal length.

    low, high: float32 (N / slot,), what a slot's values are clamped to. squares: float32 (2, N / slot), each slot's sum
    of squares of its gradient and of its new values.
    """

    values: Tensor
    gradient: Tensor
    first: Tensor
    second: Tensor
    low: Tensor
    high: Tensor
    squares: Tensor


@dataclass(frozen=True)
class Rule:
    """Adam, or SGD with momentum. factors: float32 (S, 4), the rates of every step (`flat.factors`)."""

    adam: bool
    factors: Tensor
    beta2: float
    eps: float
    weight_decay: float


def usable(values: Tensor) -> bool:
    """Return whether `step` takes the vector: on CUDA, where Triton starts."""
    return values.is_cuda and triton_starts(values.device)


def step(vectors: Vectors, rule: Rule, at: Tensor) -> None:
    """Move and clamp the values, and write their squares, by the rates in row `at`, int64 (1,) on the device."""
    from scs_study.training import adam_kernel

    size, slots = vectors.values.numel(), vectors.low.numel()
    tensors = [vectors.values, vectors.gradient, vectors.first, vectors.second, rule.factors, at]
    tensors += [vectors.low, vectors.high, vectors.squares]
    numbers = (size, slots, rule.beta2, 1 - rule.beta2, rule.eps, rule.weight_decay)
    constants = {"ADAM": rule.adam, "SLOT": size // slots, "SLOTS": SLOTS}
    launch(adam_kernel.optimizer_step, -(-slots // SLOTS), vectors.values.device, *tensors, *numbers, **constants)


def log_norms(
    vectors: Vectors, ranges: Tensor, at: Tensor, gradient_norm: Tensor, weight_norm: Tensor, first_layer: int
) -> None:
    """Write the L2 norms that `step` left the squares of into row `at` of two logs (S, L), from column `first_layer`.

    ranges: int32 (layers, 2), the first slot of each layer's weight and the one after its last.
    """
    from scs_study.training import adam_kernel

    tensors = (vectors.squares, vectors.low.numel(), ranges, at, gradient_norm, weight_norm)
    layers = gradient_norm.shape[1]
    launch(adam_kernel.norms, len(ranges), at.device, *tensors, layers, first_layer, BLOCK=BLOCK)
