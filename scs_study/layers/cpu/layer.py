"""A whole layer, its convolution and its pool included, as one operation of autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from scs_study.layers.cpu import passes
from scs_study.layers.cpu.settings import Settings


def power(x: Tensor, weight: Tensor, p: Tensor | float, q: Tensor | float | None, settings: Settings) -> Tensor:
    """Return the layer's output (B, O, H', W') for x (B, C, H, W) and weight (O, C/groups, kh, kw), pooled.

    p is (O,), one number, or a float; q one number; without norms q is not looked at. Where `settings.takes` says so.
    """
    p = p.reshape(-1) if isinstance(p, Tensor) else torch.full((1,), p, dtype=x.dtype, device=x.device)
    p = p.expand(weight.shape[0])
    q = (
        q.reshape(())
        if isinstance(q, Tensor)
        else torch.tensor(0.0 if q is None else q, dtype=x.dtype, device=x.device)
    )
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x, weight, p, q))
    y: Tensor = _Layer.apply(x, weight, p, q, settings, keep)[0]
    return y


KEPT = 5
"""Tensors that the way back needs beside the inputs."""


class _Layer(Function):
    """(x, weight, p, q, settings, keep) -> y and what the way back needs (passes.forward)."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, p: Tensor, q: Tensor, settings: Settings, keep: bool) -> tuple[Tensor, ...]:
        y, *kept = passes.forward(x, weight, p, q, settings, keep)
        return y if _is_channels_last(x) or _is_channels_last(weight) else y.contiguous(), *kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, ctx.settings, _ = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *output[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, p, q, *kept = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:4]
        if grad is None:
            return (None,) * 6
        if torch.is_grad_enabled() or not _is_plain(grad):
            return *_again((x, weight, p, q), wanted, grad, ctx.settings), None, None
        return *passes.backward(grad, x, weight, p, q, tuple(kept), wanted, ctx.settings), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        *tensors, settings, _ = args
        y = torch.vmap(settings.plain, in_dims[:4])(*tensors)
        return (y, *(y.new_empty(0) for _ in range(KEPT))), (0, *(None for _ in range(KEPT)))


def _again(
    tensors: tuple[Tensor, ...], wanted: tuple[bool, ...], grad: Tensor, settings: Settings
) -> tuple[Tensor | None, ...]:
    """The gradients by torch's operations, from the inputs alone so that they can be differentiated again."""
    create = torch.is_grad_enabled()
    reduced = settings.products != torch.float32
    with torch.enable_grad(), torch.autocast("cpu", settings.products if reduced else None, reduced):
        y = settings.plain(*tensors)
    inputs = [tensor for tensor, wants in zip(tensors, wanted, strict=True) if wants]
    found = iter(torch.autograd.grad(y, inputs, grad, create_graph=create, allow_unused=True))
    return tuple(next(found) if wants else None for wants in wanted)


def _is_channels_last(maps: Tensor) -> bool:
    return maps.stride(1) == 1 and maps.is_contiguous(memory_format=torch.channels_last) and maps[0, 0].numel() > 1


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is numbers in memory, not one of a batch of which only vmap knows."""
    try:
        tensor.numpy()
    except RuntimeError:
        return False
    return True
