"""A whole layer, its convolution and its pool included, as one operation that works on a piece of the batch at a time.

A piece's convolution is still in the cache when the pass after it scales, pools and raises it, and is not kept: the way
back needs the input, the lengths of the patches, and the winners and their places, which are a quarter as many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from scs_study.layers.cpu.choice import chosen_loops
from scs_study.layers.cpu.shares import in_shares, pieces
from scs_study.layers.pooling import MaxAbsPool2d
from scs_study.layers.sizes import Geometry, Sides, pair

PIECE = 1 << 20
"""Elements of a convolution's result that one thread works on at a time: 4 MB, which a shared cache holds."""
MOST_PLACES = 256
"""A place in a window is kept in a byte."""
LN2 = 0.6931471805599453
"""The compiled gradients to p are in units of 1 / ln 2."""


@dataclass(frozen=True)
class Window:
    """Windows of size (height, width) that do not overlap; partial ones at the edge count where `ceil` says so.

    by_size: the largest magnitude wins, not the largest value.
    """

    size: Sides
    ceil: bool
    by_size: bool

    def counts(self, lengths: Sides) -> Sides:
        """Return how many windows there are in (height, width)."""
        height, width = (
            -(-length // size) if self.ceil else length // size for length, size in zip(lengths, self.size, strict=True)
        )
        return height, width


NO_WINDOW = Window((1, 1), False, True)


@dataclass(frozen=True)
class Settings:
    """What a layer does beside its kernels, exponents and floor.

    least: the length below which a kernel counts as this long; None for a layer without norms.
    plain: the same function of (x, weight, p, q) in torch's operations, for vmap and derivatives of derivatives.
    """

    geometry: Geometry
    window: Window
    least: float | None
    plain: Callable[..., Tensor]

    @property
    def depthwise(self) -> bool:
        """Whether every channel has norms of its own."""
        return self.least is not None and self.geometry.groups > 1

    @property
    def scaled(self) -> bool:
        """Whether all channels share their norms."""
        return self.least is not None and self.geometry.groups == 1

    def outputs(self, x: Tensor, weight: Tensor) -> Sides:
        """Return height and width of the convolution's result."""
        axes = zip(x.shape[2:], weight.shape[2:], self.geometry.stride, self.geometry.padding, strict=True)
        height, width = ((size + 2 * padding - kernel) // stride + 1 for size, kernel, stride, padding in axes)
        return height, width


def window_of(pool: Callable[[Tensor], Tensor] | None) -> Window | None:
    """Return the window of a pool that the layer can take in, NO_WINDOW of None; None of any other."""
    if pool is None:
        return NO_WINDOW
    if not isinstance(pool, (nn.MaxPool2d, MaxAbsPool2d)) or type(pool) not in (nn.MaxPool2d, MaxAbsPool2d):
        return None
    sizes, strides, padding, dilation = (
        pair(value, "") for value in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    )
    fits = sizes == strides and padding == (0, 0) and dilation == (1, 1) and sizes[0] * sizes[1] <= MOST_PLACES
    if not fits or pool.return_indices or pool._forward_hooks or pool._forward_pre_hooks:
        return None
    return Window(sizes, bool(pool.ceil_mode), isinstance(pool, MaxAbsPool2d))


def takes(x: Tensor, weight: Tensor, p: Tensor | float, q: Tensor | float | None, settings: Settings) -> bool:
    """Return whether `power` computes this layer; False where torch's operations have to."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return False
    for tensor in (x, weight, p, q):
        if isinstance(tensor, Tensor):
            plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
            if not plain or tensor.device.type != "cpu" or tensor.dtype != torch.float32:
                return False
    geometry = settings.geometry
    if settings.depthwise and not geometry.groups == x.shape[1] == weight.shape[0]:
        return False
    if geometry.dilation != (1, 1):
        return False
    if x.numel() == 0 or min(settings.window.counts(settings.outputs(x, weight))) < 1:
        return False
    # Below the smallest normal number the compiled logarithm is not one.
    return geometry.eps >= torch.finfo(torch.float32).tiny and chosen_loops() is not None


def power(x: Tensor, weight: Tensor, p: Tensor | float, q: Tensor | float | None, settings: Settings) -> Tensor:
    """Return the layer's output (B, O, H', W') for x (B, C, H, W) and weight (O, C/groups, kh, kw), pooled.

    p is (O,), one number, or a float; q one number; without norms q is not looked at. Where `takes` says so.
    """
    p = p.reshape(-1) if isinstance(p, Tensor) else torch.full((1,), p)
    p = p.expand(weight.shape[0])
    q = q.reshape(()) if isinstance(q, Tensor) else torch.tensor(0.0 if q is None else q)
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x, weight, p, q))
    y: Tensor = _Layer.apply(x, weight, p, q, settings, keep)[0]
    return y


class _Layer(Function):
    """(x, weight, p, q, settings, keep) -> y and what the way back needs: lengths, winners, their places."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, p: Tensor, q: Tensor, settings: Settings, keep: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y, r, c, at = _forward(x, weight, p, q, settings, keep)
        return y if _is_channels_last(x) or _is_channels_last(weight) else y.contiguous(), r, c, at

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, ctx.settings, _ = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *output[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, p, q, r, c, at = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:4]
        if grad is None:
            return (None,) * 6
        if torch.is_grad_enabled() or not _is_plain(grad):
            return *_again((x, weight, p, q), wanted, grad, ctx.settings.plain), None, None
        return *_backward(grad, x, weight, p, q, r, c, at, wanted, ctx.settings), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        *tensors, settings, _ = args
        y = torch.vmap(settings.plain, in_dims[:4])(*tensors)
        return (y, *(y.new_empty(0) for _ in range(3))), (0, None, None, None)


def _again(
    tensors: tuple[Tensor, ...], wanted: tuple[bool, ...], grad: Tensor, plain: Callable[..., Tensor]
) -> tuple[Tensor | None, ...]:
    """The gradients by torch's operations, from the inputs alone so that they can be differentiated again."""
    create = torch.is_grad_enabled()
    with torch.enable_grad():
        y = plain(*tensors)
    inputs = [tensor for tensor, wants in zip(tensors, wanted, strict=True) if wants]
    found = iter(torch.autograd.grad(y, inputs, grad, create_graph=create, allow_unused=True))
    return tuple(next(found) if wants else None for wants in wanted)


def _forward(
    x: Tensor, weight: Tensor, p: Tensor, q: Tensor, settings: Settings, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    loops = chosen_loops()
    assert loops is not None
    x = x.contiguous(memory_format=torch.channels_last)
    unit = _unit_kernels(weight, settings)[0]
    window, (height, width) = settings.window, settings.outputs(x, weight)
    batch, kernels = x.shape[0], weight.shape[0]
    rows, columns = window.counts((height, width))
    geometry, depthwise, scaled = settings.geometry, settings.depthwise, settings.scaled
    y = _maps(batch, kernels, rows, columns)
    c = _maps(batch, kernels, rows, columns) if keep else torch.empty(0)
    at = torch.empty(
        (batch, rows, columns * kernels) if keep and window is not NO_WINDOW else (0, 0, 0), dtype=torch.uint8
    )
    r = torch.empty((batch, height, width) if scaled else (0, 0, 0))
    sides = (*weight.shape[2:], *geometry.stride, *geometry.padding)
    eps, floor = np.float32(geometry.eps), q.detach().numpy()[()]
    exponents = p.repeat(columns).numpy()

    for piece in pieces(batch, kernels * height * width, PIECE):
        z = torch.conv2d(x[piece], unit, None, geometry.stride, geometry.padding, 1, geometry.groups)
        z = z.contiguous(memory_format=torch.channels_last)

        def share(_: int, part: slice, z: Tensor = z, first: int = piece.start) -> None:
            b = slice(first + part.start, first + part.stop)
            kept = _nhwc(c[b]) if keep else np.empty((1, 1, columns, kernels), np.float32)
            if depthwise:
                kept = _flat(kept)
                loops.depthwise.forward(
                    _rows(x[b]), _rows(z[part]), floor, exponents, eps, kernels, *sides, keep, kept, _rows(y[b])
                )
                return
            if scaled:
                loops.norms.patch_norm(_nhwc(x[b]), r[b].numpy(), *sides, eps)
            loops.windows.forward(
                _nhwc(z[part]), r[b].numpy(), floor, exponents, eps, *window.size, window.by_size, scaled, keep,
                kept, at[b].numpy(), _rows(y[b]),
            )  # fmt: skip

        in_shares(len(z), share)
    return y, r, c, at


def _backward(
    grad: Tensor, x: Tensor, weight: Tensor, p: Tensor, q: Tensor, r: Tensor, c: Tensor, at: Tensor,
    wanted: tuple[bool, ...], settings: Settings,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    loops = chosen_loops()
    assert loops is not None
    x, grad = x.contiguous(memory_format=torch.channels_last), grad.contiguous(memory_format=torch.channels_last)
    unit, length = _unit_kernels(weight, settings)
    window, (height, width) = settings.window, settings.outputs(x, weight)
    batch, kernels, _, columns = c.shape
    geometry, depthwise, scaled = settings.geometry, settings.depthwise, settings.scaled
    sides = (*weight.shape[2:], *geometry.stride, *geometry.padding)
    eps, floor = np.float32(geometry.eps), q.detach().numpy()[()]
    exponents = p.repeat(columns).numpy()
    grad_x = torch.empty_like(x) if wanted[0] else None
    grad_unit: Tensor | None = None
    grad_p, grad_q = torch.zeros(kernels, dtype=torch.float64), 0.0
    threads = torch.get_num_threads()

    for piece in pieces(batch, kernels * height * width, PIECE):
        n = piece.stop - piece.start
        gz = _maps(n, kernels, height, width)
        ge = torch.empty_like(gz) if depthwise else torch.empty((n, height, width) if scaled else (0, 0, 0))
        sums_p, sums_q = np.zeros((threads, columns * kernels), np.float32), np.zeros(threads)
        wide_q = np.zeros((threads, columns * kernels), np.float32)

        def share(
            index: int, part: slice, first: int = piece.start, gz: Tensor = gz, ge: Tensor = ge,
            sums_p: Any = sums_p, sums_q: Any = sums_q, wide_q: Any = wide_q,
        ) -> None:  # fmt: skip
            b = slice(first + part.start, first + part.stop)
            if depthwise:
                loops.depthwise.backward(
                    _rows(grad[b]), _rows(x[b]), _rows(c[b]), floor, exponents, eps, kernels, *sides,
                    _rows(gz[part]), _rows(ge[part]), sums_p[index], wide_q[index],
                )  # fmt: skip
                return
            sums_q[index] = loops.windows.backward(
                _rows(grad[b]), _nhwc(c[b]), at[b].numpy(), r[b].numpy(), floor, exponents, eps, *window.size, scaled,
                _nhwc(gz[part]), ge[part].numpy(), sums_p[index],
            )  # fmt: skip

        in_shares(n, share)
        grad_p += torch.from_numpy(sums_p).view(-1, kernels).sum(0, dtype=torch.float64)
        grad_q += float(sums_q.sum() + wide_q.sum(dtype=np.float64))
        if not (wanted[0] or wanted[1]):
            continue
        back, to_unit, _ = torch.ops.aten.convolution_backward(
            gz, x[piece], unit, None, geometry.stride, geometry.padding, (1, 1), False, (0, 0), geometry.groups,
            (wanted[0], wanted[1], False),
        )  # fmt: skip
        if to_unit is not None:
            grad_unit = to_unit if grad_unit is None else grad_unit.add_(to_unit)
        if grad_x is None:
            continue
        back = back.contiguous(memory_format=torch.channels_last)
        if settings.least is None:
            grad_x[piece] = back
            continue

        def onto(
            _: int, part: slice, first: int = piece.start, ge: Tensor = ge, back: Tensor = back, to: Tensor = grad_x
        ) -> None:
            b = slice(first + part.start, first + part.stop)
            if depthwise:
                loops.depthwise.energy_backward(
                    _rows(ge[part]), _rows(x[b]), _rows(back[part]), _rows(to[b]), kernels, *sides
                )
            else:
                loops.norms.patch_norm_backward(ge[part].numpy(), _nhwc(x[b]), _nhwc(back[part]), _nhwc(to[b]), *sides)

        in_shares(n, onto)

    grad_weight = None if grad_unit is None else _kernel_gradient(grad_unit, unit, length, settings)
    return (
        grad_x,
        grad_weight,
        (grad_p * LN2).float() if wanted[2] else None,
        torch.tensor(grad_q, dtype=torch.float32) if wanted[3] else None,
    )


def _unit_kernels(weight: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Return the kernels over their lengths, channels last, and the lengths; the kernels themselves without norms."""
    weight = weight.contiguous(memory_format=torch.channels_last)
    length = torch.empty(weight.shape[0])
    if settings.least is None:
        return weight, length
    loops, unit = chosen_loops(), torch.empty_like(weight)
    assert loops is not None
    loops.norms.unit_kernels(_kernels(weight), _kernels(unit), length.numpy(), np.float32(settings.least))
    return unit, length


def _kernel_gradient(grad: Tensor, unit: Tensor, length: Tensor, settings: Settings) -> Tensor:
    if settings.least is None:
        return grad
    loops, to = chosen_loops(), torch.empty_like(unit)
    assert loops is not None
    grad = grad.contiguous(memory_format=torch.channels_last)
    loops.norms.unit_kernels_backward(
        _kernels(grad), _kernels(unit), length.numpy(), _kernels(to), np.float32(settings.least)
    )
    return to


def _maps(batch: int, channels: int, height: int, width: int) -> Tensor:
    return torch.empty((batch, channels, height, width), memory_format=torch.channels_last)


def _nhwc(maps: Tensor) -> Any:
    return maps.detach().permute(0, 2, 3, 1).numpy()


def _flat(maps: Any) -> Any:
    return maps.reshape(*maps.shape[:2], -1)


def _rows(maps: Tensor) -> Any:
    return _flat(_nhwc(maps))


def _kernels(weight: Tensor) -> Any:
    return _nhwc(weight).reshape(weight.shape[0], -1)


def _is_channels_last(maps: Tensor) -> bool:
    return maps.stride(1) == 1 and maps.is_contiguous(memory_format=torch.channels_last) and maps[0, 0].numel() > 1


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is numbers in memory, not one of a batch of which only vmap knows."""
    try:
        tensor.numpy()
    except RuntimeError:
        return False
    return True
