"""A whole sharpened layer on a GPU as one operation of autograd: its convolution is torch's, the rest a kernel each.

Forward: unit kernels, convolution, patch energy, then in one pass the scale, the winner of each pooling window and its
power. Kept for the way back are winners and their places, a quarter of the convolution's size after a pool of 2x2, and
energies. Backward: from there to the gradient of the convolution in one pass; the convolution's own; the energy's share
added to the gradient of the input; and that of the kernels, with the sums for p and q.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from scs_study.layers.autograd import again, is_plain
from scs_study.layers.cpu import Settings
from scs_study.layers.kernels import fused
from scs_study.layers.kernels.fused import is_wide, power_of_two, programs, tile_of
from scs_study.layers.kernels.start import launch

MOST_PARTS = 1024
"""At most so many programs share a sum: few enough to be added up in no time, enough to fill a GPU."""
ONE_PASS = 1 << 25
"""Numbers that the windows of a patch energy may see together, each as often as it is seen: up to here (128 MiB, mostly
from a cache) one kernel squares and adds them all, beyond a second one adds what the first has summed over channels."""
LAST = torch.channels_last


def takes(x: Tensor, weight: Tensor, settings: Settings) -> bool:
    """Return whether the kernels compute this layer; False where torch's operations have to."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return False
    geometry, out = settings.geometry, settings.outputs(x, weight)
    if settings.depthwise and not geometry.groups == x.shape[1] == weight.shape[0]:
        return False
    same = x.dtype == weight.dtype or torch.is_autocast_enabled(x.device.type)
    numbers = all(type(each) in (Tensor, nn.Parameter) for each in (x, weight))  # and no stand-ins for them
    fits = same and numbers and weight.dtype in fused.PRECISIONS and weight.shape[0] <= fused.MOST_CHANNELS
    return fits and fused.usable(x) and min(settings.window.counts(out)) > 0


def power(x: Tensor, weight: Tensor, p: Tensor | float, q: Tensor | float, settings: Settings) -> Tensor:
    """Return the layer's output (B, O, H', W') for x (B, C, H, W) and weight (O, C/groups, kh, kw), pooled.

    p is (O,), one number, or a float; q one number; without norms q is not looked at. Where `takes` says so.
    """
    # Filled, not copied from the host, which a CUDA graph could not repeat.
    p = (
        p.float().reshape(-1)
        if isinstance(p, Tensor)
        else torch.full((1,), float(p), device=x.device, dtype=torch.float32)
    )
    if settings.least is not None:
        q = (
            q.float().reshape(())
            if isinstance(q, Tensor)
            else torch.full((), float(q), device=x.device, dtype=torch.float32)
        )
    learns = torch.is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in (x, weight, p, q))
    y: Tensor = _Layer.apply(x, weight, p.expand(weight.shape[0]), q, settings, learns)[0]
    return y.to(torch.promote_types(x.dtype, weight.dtype))


KEPT = 6
"""Tensors that the way back needs beside the inputs."""


class _Layer(Function):
    """(x, weight, p, q, settings, learns) -> y and what the way back needs; q is no tensor without norms.

    seen, kernels: what the convolution got, None where it got x and weight.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, p: Tensor, q: Any, settings: Settings, learns: bool) -> tuple[Any, ...]:
        seen, kernels, length, energy = x.contiguous(memory_format=LAST), weight, None, None
        if settings.least is not None:
            kernels, length = _unit(weight, settings.least)
            energy = _energy(seen, weight, settings)
        if torch.is_autocast_enabled(x.device.type):
            low = torch.get_autocast_dtype(x.device.type)
            seen, kernels = seen.to(low), kernels.to(low)
        z = torch.ops.aten.convolution(seen, kernels, None, *_where(settings))
        y, base, winner = _powered(z.contiguous(memory_format=LAST), energy, p.contiguous(), q, settings, learns)
        return y, None if seen is x else seen, None if kernels is weight else kernels, length, energy, base, winner

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        x, weight, p, q, ctx.settings, _ = inputs
        ctx.mark_non_differentiable(*(tensor for tensor in output[1:] if tensor is not None))
        ctx.set_materialize_grads(False)  # else zeros would be written for all that has no gradient
        ctx.save_for_backward(x, weight, p, q if isinstance(q, Tensor) else None, *output[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, p, q, *kept = ctx.saved_tensors
        wanted, settings = ctx.needs_input_grad[:4], ctx.settings
        if grad is None:
            return (None,) * 6
        if torch.is_grad_enabled() or not is_plain(grad):
            return *again((x, weight, p, 0.0 if q is None else q), wanted, grad, settings.plain), None, None
        return *_backward(grad, x, weight, p, q, kept, wanted, settings), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        *tensors, settings, _ = args
        y = torch.vmap(settings.plain, in_dims[:4])(*tensors)
        return (y, *(y.new_empty(0) for _ in range(KEPT))), (0, *(None for _ in range(KEPT)))


def _backward(
    grad: Tensor, x: Tensor, weight: Tensor, p: Tensor, q: Tensor | None, kept: list[Any],
    wanted: tuple[bool, ...], settings: Settings,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    seen, kernels, length, energy, base, winner = kept
    seen, kernels = x if seen is None else seen, weight if kernels is None else kernels
    shape = (x.shape[0], weight.shape[0], *settings.outputs(x, weight))
    z = torch.empty(shape, dtype=seen.dtype, device=x.device, memory_format=LAST)
    grad_z, grad_energy, parts = _power_backward(grad, z, energy, base, winner, p.contiguous(), q, settings)
    grad_x, grad_kernels, _ = torch.ops.aten.convolution_backward(
        grad_z, seen, kernels, None, *_where(settings), [wanted[0], wanted[1], False]
    )
    if wanted[0] and energy is not None:
        grad_x = _energy_backward(x.contiguous(memory_format=LAST), grad_energy, grad_x, weight, settings)
    if length is None or not wanted[1]:
        sums, grad_weight = parts.sum(1), grad_kernels
    else:
        grad_weight, sums = _unit_backward(grad_kernels, weight, length, parts, settings.least)
    return (
        grad_x if grad_x is None else grad_x.to(x.dtype),
        grad_weight if grad_weight is None else grad_weight.to(weight.dtype),
        sums[:-1] if wanted[2] else None,
        sums[-1] if wanted[3] else None,
    )


def _where(settings: Settings) -> tuple[Any, ...]:
    """What torch's convolution takes after its tensors."""
    geometry = settings.geometry
    return geometry.stride, geometry.padding, geometry.dilation, False, (0, 0), geometry.groups


def _unit(weight: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """The kernels of weight over their lengths, or over `least` where shorter, and what they were divided by, (O,)."""
    from scs_study.layers.kernels import layer_kernels as kernels

    weight = _by_rows(weight)
    unit, length = torch.empty_like(weight), torch.empty(len(weight), dtype=torch.float32, device=weight.device)
    columns = weight[0].numel()
    constants = {"columns": columns, "least": least, "COLUMNS": power_of_two(columns)}
    launch(kernels.unit_forward, len(weight), weight.device, weight, unit, length, **constants)
    return unit, length


def _unit_backward(
    grad: Tensor, weight: Tensor, length: Tensor, parts: Tensor, least: float | None
) -> tuple[Tensor, Tensor]:
    """The gradient to weight of `_unit`, and the sums of `parts` over its columns."""
    from scs_study.layers.kernels import layer_kernels as kernels

    weight = _by_rows(weight)
    if not grad.is_contiguous() and not grad.is_contiguous(memory_format=LAST):
        grad = grad.contiguous()
    columns, inner, outer = weight[0].numel(), weight[0].numel(), 1
    if grad.stride() != weight.stride():  # one of them is channels_last
        last = weight.is_contiguous(memory_format=LAST)
        inner, outer = (weight.shape[1], columns // weight.shape[1])[:: 1 if last else -1]
    grad_weight, sums = torch.empty_like(weight), torch.empty_like(parts[:, 0])
    tensors, count = (grad, weight, length, parts, grad_weight, sums), parts.shape[1]
    constants = {"INNER": inner, "OUTER": outer, "COLUMNS": power_of_two(columns), "PARTS": power_of_two(count)}
    launch(kernels.unit_backward, len(weight), weight.device, *tensors, columns, count, least, **constants)
    return grad_weight, sums


def _by_rows(weight: Tensor) -> Tensor:
    """weight with each kernel's values side by side in memory."""
    if weight.is_contiguous() or weight.is_contiguous(memory_format=LAST):
        return weight
    return weight.contiguous()


def _energy(x: Tensor, weight: Tensor, settings: Settings) -> Tensor:
    """The sums of squares, float32 (B, 1, H', W') or (B, C, H', W') for a depthwise layer, that its kernels see."""
    kernel, out = tuple(weight.shape[2:]), settings.outputs(x, weight)
    area, maps = kernel[0] * kernel[1], x.shape[1] if settings.depthwise else 1
    energy = torch.empty((x.shape[0], maps, *out), dtype=torch.float32, device=x.device, memory_format=LAST)
    geometry = (*kernel, *settings.geometry.stride, *settings.geometry.padding, *settings.geometry.dilation)
    if settings.depthwise or area == 1 or energy[:, 0].numel() * x.shape[1] * area <= ONE_PASS:
        _launch_energy(x, energy, geometry, squares=True, depthwise=settings.depthwise)
        return energy
    summed = torch.empty((x.shape[0], 1, *x.shape[2:]), dtype=torch.float32, device=x.device)
    _launch_energy(x, summed, (1, 1, 1, 1, 0, 0, 1, 1), squares=True, depthwise=False)
    _launch_energy(summed, energy, geometry, squares=False, depthwise=False)
    return energy


def _launch_energy(x: Tensor, energy: Tensor, geometry: tuple[int, ...], squares: bool, depthwise: bool) -> None:
    from scs_study.layers.kernels import layer_kernels as kernels

    rows, columns = energy[:, 0].numel(), x.shape[1]
    tile = tile_of(rows, columns)
    sizes = (rows, columns, *x.shape[2:], *energy.shape[2:], *geometry)
    constants = {"SQUARES": squares, "DEPTHWISE": depthwise, **tile, "WIDE": is_wide(x)}
    launch(kernels.energy_forward, programs(rows, tile), x.device, x, energy, *sizes, **constants)


def _energy_backward(x: Tensor, grad_energy: Tensor, grad: Tensor, weight: Tensor, settings: Settings) -> Tensor:
    """grad and the gradient of `_energy` to x, in x's precision; in grad's place where that is the same."""
    from scs_study.layers.kernels import layer_kernels as kernels

    grad = grad.contiguous(memory_format=LAST)
    to = grad if grad.dtype == x.dtype else torch.empty_like(x)
    rows, columns = x[:, 0].numel(), x.shape[1]
    tile, geometry = tile_of(rows, columns), settings.geometry
    sizes = (rows, columns, *x.shape[2:], *grad_energy.shape[2:], *weight.shape[2:])
    sizes += (*geometry.stride, *geometry.padding, *geometry.dilation)
    constants = {"DEPTHWISE": settings.depthwise, **tile, "WIDE": is_wide(x)}
    launch(kernels.energy_backward, programs(rows, tile), x.device, x, grad_energy, grad, to, *sizes, **constants)
    return to


def _powered(
    z: Tensor, energy: Tensor | None, p: Tensor, q: Any, settings: Settings, learns: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """y, float32 (B, O, H', W'); where it `learns` also the bases c of its powers, and their places in windows."""
    from scs_study.layers.kernels import layer_kernels as kernels

    window, columns = settings.window, z.shape[1]
    shape = (*z.shape[:2], *window.counts((z.shape[2], z.shape[3])))
    y = torch.empty(shape, dtype=torch.float32, device=z.device, memory_format=LAST)
    base = torch.empty_like(y) if learns else None
    winner = torch.empty_like(y, dtype=torch.uint8) if learns and window.size != (1, 1) else None
    tensors = [z, z if energy is None else energy, p, p if energy is None else q, y]
    tensors += [y if base is None else base, y if winner is None else winner]
    rows, tile = y[:, 0].numel(), tile_of(y[:, 0].numel(), columns)
    sizes = (rows, columns, *z.shape[2:], *y.shape[2:], settings.geometry.eps)
    constants: dict[str, int] = {
        "SCALED": energy is not None,
        "DEPTHWISE": settings.depthwise,
        "BY_SIZE": window.by_size,
    }
    constants |= {"KEEP": learns, "WINDOW_H": window.size[0], "WINDOW_W": window.size[1], "WIDE": is_wide(z)}
    launch(kernels.power_forward, programs(rows, tile), z.device, *tensors, *sizes, **constants, **tile)
    return y, base, winner


def _power_backward(
    grad: Tensor, grad_z: Tensor, energy: Tensor | None, base: Tensor, winner: Tensor | None,
    p: Tensor, q: Tensor | None, settings: Settings,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients to z, written to `grad_z`, to energy, and, float32 (O + 1, parts), to p and q in parts."""
    from scs_study.layers.kernels import layer_kernels as kernels

    grad, (high, wide) = grad.contiguous(memory_format=LAST), settings.window.size
    columns, height, width = grad_z.shape[1:]
    rows = grad_z.shape[0] * -(-height // high) * -(-width // wide)
    tile = tile_of(rows, columns)
    count = min(programs(rows, tile), MOST_PARTS)
    grad_energy = grad.new_empty(0) if energy is None else torch.empty_like(energy)
    parts = torch.empty(columns + 1, count, dtype=torch.float32, device=grad.device)
    tensors = [grad, base, base if winner is None else winner, base if energy is None else energy, p]
    tensors += [p if q is None else q, grad_z, grad_energy, parts]
    sizes = (rows, columns, height, width, *grad.shape[2:], settings.geometry.eps)
    constants: dict[str, int] = {"SCALED": energy is not None, "DEPTHWISE": settings.depthwise, "WIDE": is_wide(grad_z)}
    constants |= {"WINDOW_H": high, "WINDOW_W": wide}
    launch(kernels.power_backward, count, grad.device, *tensors, *sizes, **constants, **tile)
    return grad_z, grad_energy, parts
