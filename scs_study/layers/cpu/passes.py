"""A layer forward and backward, a chunk of the batch at a time.

A chunk's convolution is still in the cache when the pass after it scales, pools and raises it, and is not kept: the way
back needs the input, the lengths of the patches, and the winners and their places, which are a quarter as many.

The loops get views of torch's memory as arrays of numpy: maps (B, H, W, C), or in rows (B, H, W C).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scs_study.layers.cpu.choice import Loops, chosen_loops
from scs_study.layers.cpu.settings import Settings
from scs_study.layers.cpu.shares import chunks, in_shares

CHUNK = 1 << 19
"""Elements of a convolution's result that one thread works on at a time: 2 MB, which the caches next to it hold."""
MANY_WEIGHTS = 1 << 18
"""Kernels are scaled to length 1 by all threads from here on: it takes one 60 microseconds."""
LN2 = 0.6931471805599453
"""The compiled gradients to p are in units of 1 / ln 2."""

Array = Any  # numpy's, of float32 unless said otherwise
_NO_PLACES = np.empty((0, 0, 0), np.uint8)


def forward(x: Tensor, weight: Tensor, p: Tensor, q: Tensor, settings: Settings, keep: bool) -> tuple[Tensor, ...]:
    """Return y, in the layout that torch's convolution gives it, and for `backward` if `keep` says so:

    r (B, H', W'), c as y, at (B, H'', W'' O) in bytes, and of a layer with norms the unit kernels and the lengths (O,);
    what a layer has not stands empty.
    """
    loops, geometry, window = _loops(), settings.geometry, settings.window
    turned = not (_is_channels_last(x) or _is_channels_last(weight))
    x, (unit, length) = _channels_last(x), _unit_kernels(loops, weight, settings)
    height, width = settings.outputs(x, weight)
    rows, columns = window.counts((height, width))
    operand = unit.to(settings.products)
    batch, kernels = x.shape[0], weight.shape[0]
    y = _maps(batch, kernels, rows, columns)
    xs, ys = _rows(x) if settings.depthwise else _nhwc(x), _rows(y)
    rs, ats = np.empty((batch, height, width) if settings.scaled else (0, 0, 0), np.float32), _NO_PLACES
    kept: tuple[Tensor, ...] = ()
    if keep:
        c = _maps(batch, kernels, rows, columns)
        cs = _nhwc(c)
        if window.size != (1, 1):
            ats = np.empty((batch, rows, columns * kernels), np.uint8)
        kept = (
            torch.from_numpy(rs),
            c,
            torch.from_numpy(ats),
            unit if settings.least is not None else length[:0],
            length,
        )
    sides, numbers = _sides(weight, settings), _numbers(p, q, columns, settings)

    def pass_on(z: Array, _: int, part: slice, b: slice) -> None:
        ours = cs[b] if keep else np.empty((1, 1, columns, kernels), np.float32)
        if settings.depthwise:
            loops.depthwise.forward(xs[b], _flat(z[part]), *numbers, kernels, *sides, keep, _flat(ours), ys[b])
            return
        if settings.scaled:
            loops.norms.patch_norm(xs[b], rs[b], *sides, numbers[-1])
        loops.windows.forward(
            z[part], rs[b], *numbers, *window.size, window.by_size, settings.scaled, keep, ours, ats[b], ys[b]
        )

    for chunk in chunks(batch, kernels * height * width, CHUNK):
        seen = x[chunk].to(settings.products)
        z = torch.conv2d(seen, operand, None, geometry.stride, geometry.padding, 1, geometry.groups)
        in_shares(chunk, functools.partial(pass_on, _nhwc(_channels_last(z.float()))))
    return y.contiguous() if turned else y, *kept


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, p: Tensor, q: Tensor, kept: tuple[Tensor, ...],
    wanted: tuple[bool, ...], settings: Settings,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """Return the gradients to x, weight, p and q, each where it is wanted, of grad, that to y; kept are `forward`'s."""
    r, c, at, unit, length = kept
    loops, geometry, depthwise = _loops(), settings.geometry, settings.depthwise
    x, grad = _channels_last(x), _channels_last(grad)
    unit = unit if settings.least is not None else _channels_last(weight)
    operand = unit.to(settings.products)
    height, width = settings.outputs(x, weight)
    batch, kernels, _, columns = c.shape
    grad_unit: Tensor | None = None
    threads, cuts = torch.get_num_threads(), list(chunks(batch, kernels * height * width, CHUNK))
    grad_x = torch.empty_like(x) if wanted[0] and len(cuts) > 1 else None
    # One buffer for all chunks, which stays in the cache.
    gz = _maps(cuts[0].stop, kernels, height, width)
    ge = torch.empty_like(gz) if depthwise else _empty((len(gz), height, width) if settings.scaled else (0, 0, 0))
    sums_p = np.zeros((len(cuts), threads, columns * kernels), np.float32)
    sums_q = np.zeros((len(cuts), threads, columns * kernels if depthwise else 1), np.float32)
    grads, cs, ats, rs, xs = _rows(grad), _nhwc(c), at.numpy(), r.numpy(), _rows(x) if depthwise else _nhwc(x)
    gzs, ges = (_rows(gz), _rows(ge)) if depthwise else (_nhwc(gz), ge.numpy())
    sides, numbers = _sides(weight, settings), _numbers(p, q, columns, settings)

    def pass_back(to_p: Array, to_q: Array, index: int, part: slice, b: slice) -> None:
        if depthwise:
            loops.depthwise.backward(
                grads[b], xs[b], _flat(cs[b]), *numbers, kernels, *sides, gzs[part], ges[part], to_p[index], to_q[index]
            )
        else:
            to_q[index, 0] = loops.windows.backward(
                grads[b], cs[b], ats[b], rs[b], *numbers, *settings.window.size, settings.scaled,
                gzs[part], ges[part], to_p[index],
            )  # fmt: skip

    def through_norms(back: Array, _: int, part: slice, b: slice) -> None:
        if depthwise:
            loops.depthwise.energy_backward(ges[part], xs[b], _flat(back[part]), kernels, *sides)
        else:
            loops.norms.patch_norm_backward(ges[part], xs[b], back[part], *sides)

    for number, chunk in enumerate(cuts):
        in_shares(chunk, functools.partial(pass_back, sums_p[number], sums_q[number]))
        if not (wanted[0] or wanted[1]):
            continue
        back, to_unit, _ = torch.ops.aten.convolution_backward(
            gz[: chunk.stop - chunk.start].to(settings.products), x[chunk].to(settings.products), operand, None,
            geometry.stride, geometry.padding, (1, 1), False, (0, 0), geometry.groups, (wanted[0], wanted[1], False),
        )  # fmt: skip
        if to_unit is not None:
            grad_unit = to_unit.float() if grad_unit is None else grad_unit.add_(to_unit)
        if wanted[0]:
            back = _channels_last(back.float())
            if settings.least is not None:
                in_shares(chunk, functools.partial(through_norms, _nhwc(back)))
            if grad_x is None:
                grad_x = back
            else:
                grad_x[chunk] = back

    total_p = sums_p.reshape(-1, kernels).sum(0, dtype=np.float64) * LN2
    return (
        grad_x,
        None if grad_unit is None else _kernel_gradient(loops, grad_unit, unit, length, settings),
        torch.from_numpy(total_p).float() if wanted[2] else None,
        torch.tensor(float(sums_q.sum(dtype=np.float64)), dtype=torch.float32, device="cpu") if wanted[3] else None,
    )


def _loops() -> Loops:
    loops = chosen_loops()
    assert loops is not None
    return loops


def _sides(weight: Tensor, settings: Settings) -> tuple[int, ...]:
    return *weight.shape[2:], *settings.geometry.stride, *settings.geometry.padding


def _numbers(p: Tensor, q: Tensor, columns: int, settings: Settings) -> tuple[Array, Array, Array]:
    """Return q, p once for every output of a row (columns O,), eps."""
    every = np.empty((columns, p.shape[0]), np.float32)
    every[:] = p.detach().numpy()
    return q.detach().numpy()[()], every.reshape(-1), np.float32(settings.geometry.eps)


def _unit_kernels(loops: Loops, weight: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Return the kernels over their lengths, channels last, and the lengths; the kernels themselves without norms."""
    weight = _channels_last(weight)
    length = _empty((weight.shape[0],))
    if settings.least is None:
        return weight, length
    unit = torch.empty_like(weight)
    ws, units, lengths, least = _kernels(weight), _kernels(unit), length.numpy(), np.float32(settings.least)

    def scale(_: int, o: slice, __: slice) -> None:
        loops.norms.unit_kernels(ws[o], units[o], lengths[o], least)

    _kernels_in_shares(ws, scale)
    return unit, length


def _kernel_gradient(loops: Loops, grad: Tensor, unit: Tensor, length: Tensor, settings: Settings) -> Tensor:
    if settings.least is None:
        return grad
    to, grad = torch.empty_like(unit), _channels_last(grad)
    grads, units, tos = _kernels(grad), _kernels(unit), _kernels(to)
    lengths, least = length.numpy(), np.float32(settings.least)

    def scale(_: int, o: slice, __: slice) -> None:
        loops.norms.unit_kernels_backward(grads[o], units[o], lengths[o], tos[o], least)

    _kernels_in_shares(units, scale)
    return to


def _kernels_in_shares(kernels: Array, work: Callable[[int, slice, slice], None]) -> None:
    """Let threads share kernels (O, n) where that takes longer than to wake them."""
    every = slice(0, len(kernels))
    if kernels.size < MANY_WEIGHTS:
        work(0, every, every)
    else:
        in_shares(every, work)


def _maps(batch: int, channels: int, height: int, width: int) -> Tensor:
    return _empty((batch, channels, height, width), layout=torch.channels_last)


def _empty(
    shape: tuple[int, ...], dtype: torch.dtype = torch.float32, layout: torch.memory_format = torch.contiguous_format
) -> Tensor:
    # Whatever torch.set_default_dtype and set_default_device say.
    return torch.empty(shape, dtype=dtype, device="cpu", memory_format=layout)


def _channels_last(maps: Tensor) -> Tensor:
    return maps.detach().contiguous(memory_format=torch.channels_last)


def _is_channels_last(maps: Tensor) -> bool:
    several = maps.shape[2] * maps.shape[3] > 1
    return several and maps.stride(1) == 1 and maps.is_contiguous(memory_format=torch.channels_last)


def _nhwc(maps: Tensor) -> Array:
    return maps.numpy().transpose(0, 2, 3, 1)


def _flat(maps: Array) -> Array:
    return maps.reshape(*maps.shape[:2], -1)


def _rows(maps: Tensor) -> Array:
    return _flat(_nhwc(maps))


def _kernels(weight: Tensor) -> Array:
    return _nhwc(weight).reshape(weight.shape[0], -1)
