"""A network on a GPU and off it: what asks for the Triton kernels is told yes, or no; inputs, gradients, bounds."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from scs_study.data import fused_batch
from scs_study.layers import MaxAbsPool2d, cpu
from scs_study.layers.kernels import fused
from scs_study.training import fused_adam
from scs_study.training.objectives import fused_loss

LAST = torch.channels_last


@contextlib.contextmanager
def asked(answer: bool) -> Iterator[list[Tensor]]:
    """Whatever asks whether it can use the kernels is told so; a list of what was asked about."""
    questions: list[Tensor] = []

    def usable(x: Tensor) -> bool:
        questions.append(x)
        return answer

    modules = (fused, fused_adam, fused_batch, fused_loss)
    before = [module.usable for module in modules]
    cpu.choose("plain")
    try:
        for module in modules:
            module.usable = usable
        yield questions
    finally:
        cpu.choose(cpu.KERNELS[0])
        for module, own in zip(modules, before, strict=True):
            module.usable = own


on_a_gpu = functools.partial(asked, True)
"""All is computed as it is on a GPU."""
by_torch = functools.partial(asked, False)
"""All is computed by torch's operations, on a GPU too."""


def gradients(function: Callable[..., Tensor], values: list[Tensor], direction: Tensor | None = None) -> list[Tensor]:
    """y of values, then its gradients along `direction` (drawn from a fixed seed) to each of them."""
    inputs = [value.detach().requires_grad_() for value in values]
    y = function(*inputs)
    if direction is None:
        direction = torch.randn(y.shape, generator=torch.Generator(y.device).manual_seed(1), device=y.device)
    return [y, *torch.autograd.grad((y * direction.to(y.dtype)).sum(), inputs)]


def close(ours: list[Tensor], theirs: list[Tensor], bound: float) -> None:
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        a, b = a.detach().double(), b.detach().double()
        assert a.shape == b.shape
        error = float((a - b).abs().max() / b.abs().max().clamp_min(1e-30))
        assert error < bound, f"tensor {index} is off by {error:.2e} of its largest value"


def pooled(pool: str | None, size: int, ceil: bool) -> nn.Module | None:
    if pool == "overlapping":
        return MaxAbsPool2d(3, 2, padding=1)
    return None if pool is None else {"max": nn.MaxPool2d, "maxabs": MaxAbsPool2d}[pool](size, ceil_mode=ceil)


def drawn(channels: int, out: int, kernel: tuple[int, int], side: tuple[int, int], groups: int = 1) -> list[Tensor]:
    """x (with an empty patch in it), weight (a kernel of zeros in it), p and q, float32, of sizes that fill no tile."""
    torch.manual_seed(0)
    x = torch.randn(3, channels, *side).contiguous(memory_format=LAST)
    x[0, :, : kernel[0] + 2] = 0.0
    weight = torch.randn(out, channels // groups, *kernel)
    weight[0] = 0.0
    return [x, weight, 0.5 + 2.5 * torch.rand(out), torch.tensor(0.01)]
