"""A whole layer, its convolution and its pool included, as one operation of autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from scs_study.layers.autograd import again, is_plain
from scs_study.layers.cpu import passes
from scs_study.layers.cpu.settings import Settings


def power(x: Tensor, weight: Tensor, p: Tensor | float, q: Tensor | float | None, settings: Settings) -> Tensor:
    """Return the layer's output (B, O, H', W') for x (B, C, H, W) and weight (O, C/groups, kh, kw), pooled.

    p is (O,), one number, or a float; q one number; without norms q is not looked at. Where `settings.takes` says so.
    """
    if not isinstance(p, Tensor):
        p = torch.full((1,), p, dtype=x.dtype, device=x.device)
    if p.shape != weight.shape[:1]:
        p = p.reshape(-1).expand(weight.shape[0])
    q = (
        q.reshape(())
        if isinstance(q, Tensor)
        else torch.tensor(0.0 if q is None else q, dtype=x.dtype, device=x.device)
    )
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, weight, p, q)):
        y: Tensor = _Layer.apply(x, weight, p, q, settings)
        return y
    return passes.forward(x, weight, p, q, settings, False)[0]


class _Layer(Function):
    """(x, weight, p, q, settings) -> y. Transforms of torch.func never come here (`settings.takes`)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, p: Tensor, q: Tensor, settings: Settings) -> Tensor:
        y, *kept = passes.forward(x, weight, p, q, settings, True)
        ctx.settings = settings
        ctx.save_for_backward(x, weight, p, q, *kept)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, p, q, *kept = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:4]
        if torch.is_grad_enabled() or not is_plain(grad):
            return *again((x, weight, p, q), wanted, grad, _plain(ctx.settings)), None
        return *passes.backward(grad, x, weight, p, q, tuple(kept), wanted, ctx.settings), None


def _plain(settings: Settings) -> Callable[..., Tensor]:
    """The layer by torch's operations, in the precision that it was computed in."""
    reduced = settings.products != torch.float32

    def plain(*tensors: Tensor) -> Tensor:
        with torch.autocast("cpu", settings.products if reduced else None, reduced):
            return settings.plain(*tensors)

    return plain
