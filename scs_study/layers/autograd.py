"""The signed power with its gradient written by hand: it dominates the time of a training step.

Plain autograd spends most of a layer's time in `pow`, in the masks of its gradient and in fresh memory, since every
operation on a whole batch walks through memory that no cache holds. Here the work runs over a few samples at a time, in
place, and needs one logarithm and one exponential. The same formula also stands here in plain operations, for where a
hand-made loop would be in the way: torch.compile (which fuses better), vmap and derivatives of derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# Elements that one thread works on at a time, on the CPU: a handful of such float32 buffers stays in a shared cache,
# and one operation on them takes much longer than waking the threads for it. With a quarter of it a step of two threads
# took a sixth more.
CHUNK = 1 << 19

Exponent = Tensor | float


def signed_power(v: Tensor, scale: Tensor | None, p: Exponent, eps: float) -> Tensor:
    """Return y = sgn(c) (|c| + eps)^p with c = v * scale, or c = v without a scale: (B, O, H, W).

    v is (B, O, H, W), scale (B, G, H, W) with one map per channel group, p (O,), (1,) or a float. Where c = 0, y is 0
    and so are all its derivatives: the one to c is taken as p (|c| + eps)^(p-1) |sgn(c)|.
    """
    kernels = v.shape[1]
    if isinstance(p, Tensor):
        p = p.expand(kernels).reshape(-1, 1, 1)
    groups = 1 if scale is None else scale.shape[1]
    if groups not in (1, kernels):
        assert scale is not None
        v = v.reshape(v.shape[0], groups, kernels // groups, *v.shape[2:])
        scale = scale.unsqueeze(2)
        p = p.reshape(groups, -1, 1, 1) if isinstance(p, Tensor) else p
    y = _plain(v, scale, p, eps) if torch.compiler.is_compiling() else _SignedPower.apply(v, scale, p, eps)
    return y if groups in (1, kernels) else y.flatten(1, 2)


def _plain(v: Tensor, scale: Tensor | None, p: Exponent, eps: float) -> Tensor:
    c = v if scale is None else v * scale
    return c.sign() * (c.abs() + eps) ** p


def _plain_gradients(
    grad: Tensor, v: Tensor, scale: Tensor | None, p: Exponent, eps: float
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return the gradients to v, scale and p, from the inputs alone so that they can be differentiated again."""
    c = v if scale is None else v * scale
    size, sign = c.abs() + eps, c.sign()
    through = grad * sign * size**p
    grad_c = through * sign * p / size
    grad_p = _sum_to_kernels(through * size.log())
    if scale is None:
        return grad_c, None, grad_p
    return grad_c * scale, _sum_to_scale(grad_c * v, scale), grad_p


class _SignedPower(Function):
    """(v, scale, p, eps) -> y; v is (B, ..., H, W), scale has 1 at v's last channel axis, p is (..., 1, 1)."""

    @staticmethod
    def forward(v: Tensor, scale: Tensor | None, p: Exponent, eps: float) -> Tensor:
        y = torch.empty_like(v)
        for chunk in chunks(v):
            c = v[chunk] if scale is None else v[chunk] * scale[chunk]
            part = torch.abs(c, out=y[chunk]).add_(eps).log_().mul_(p).exp_()
            part.mul_(c.sign() if scale is None else c.sign_())
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        v, scale, p, ctx.eps = inputs
        ctx.p = None if isinstance(p, Tensor) else p
        # Not the output, as nn.Conv2d does not: a network may add to it in place (ResNet's shortcuts without a norm).
        ctx.save_for_backward(v, scale, p if isinstance(p, Tensor) else None)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        v, scale, p = ctx.saved_tensors
        exponent = ctx.p if p is None else p
        if torch.is_grad_enabled():  # a derivative of this derivative may be asked for
            grads = _plain_gradients(grad, v, scale, exponent, ctx.eps)
            wanted = [g if wants else None for g, wants in zip(grads, ctx.needs_input_grad[:3], strict=True)]
            return *wanted, None
        wants_scale, wants_p = ctx.needs_input_grad[1:3]
        grad_v = torch.empty_like(grad)  # of grad, which may be a batch of gradients that only grad knows of
        rates, sums = [], []
        for chunk in chunks(v):
            c = v[chunk] if scale is None else v[chunk] * scale[chunk]
            size = c.abs().add_(ctx.eps)
            logarithm = size.log()
            part = grad[chunk] * (logarithm * (exponent - 1)).exp_()
            sign = c.sign() if scale is None else c.sign_()
            part.mul_(sign)
            if wants_p:
                sums.append(_sum_to_kernels(part * size.mul_(logarithm)))
            part.mul_(sign)  # 1 by now, or 0 where c is
            if scale is None:
                _product(part, exponent, grad_v[chunk])
                continue
            part.mul_(exponent)
            if wants_scale:
                rates.append(_sum_to_scale(part * v[chunk], scale))
            _product(part, scale[chunk], grad_v[chunk])
        grad_scale = torch.cat(rates) if wants_scale else None
        grad_p = torch.stack(sums).sum(0) if wants_p else None
        return grad_v, grad_scale, grad_p, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        return torch.vmap(_plain, in_dims)(*args), 0


def _product(a: Tensor, b: Exponent, to: Tensor) -> None:
    try:
        torch.mul(a, b, out=to)
    except RuntimeError:  # a batch of gradients under vmap, which knows no out=
        to.copy_(a * b)


def chunks(v: Tensor) -> Iterator[slice]:
    """Yield slices of the batch small enough for the cache; everything at once where there is no such cache to mind."""
    batch = v.shape[0]
    size = CHUNK * torch.get_num_threads()
    if v.device.type != "cpu" or v.numel() <= size:
        yield slice(0, batch)
        return
    step = max(1, size * batch // v.numel())
    for start in range(0, batch, step):
        yield slice(start, start + step)


def _sum_to_scale(values: Tensor, scale: Tensor) -> Tensor:
    """Return values (B, ..., K, H, W) summed over the kernels that share a map of the scale, in the scale's layout.

    avg_pool2d, where the scale comes from, takes nine times as long to send its gradient back in another layout.
    """
    if scale.shape[-3] > 1:
        return values
    sums = values.sum(-3, keepdim=True)
    if scale.dim() == 5 and scale.stride(1) == 1:
        sums = sums.movedim(-4, -1).contiguous().movedim(-1, -4)
    return sums


def _sum_to_kernels(values: Tensor) -> Tensor:
    """Return values (B, ..., H, W) summed over batch and place: (..., 1, 1)."""
    return values.sum((0, -2, -1)).unsqueeze(-1).unsqueeze(-1)


def again(
    tensors: tuple[Exponent, ...], wanted: tuple[bool, ...], grad: Tensor, plain: Callable[..., Tensor]
) -> tuple[Tensor | None, ...]:
    """Return the gradients by torch's operations, from the inputs alone so that they can be differentiated again."""
    create = torch.is_grad_enabled()
    with torch.enable_grad():
        y = plain(*tensors)
    inputs = [tensor for tensor, wants in zip(tensors, wanted, strict=True) if wants]
    found = iter(torch.autograd.grad(y, inputs, grad, create_graph=create, allow_unused=True))  # type: ignore[arg-type]
    return tuple(next(found) if wants else None for wants in wanted)


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is numbers in memory, not one of a batch of which only vmap knows."""
    try:
        tensor.data_ptr()
    except RuntimeError:
        return False
    return True
