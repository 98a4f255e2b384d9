"""The layers' pointwise work as custom operators of one kernel each, for CUDA; nothing in between is written to memory.

`layers.functional` and `layers.pooling` ask `usable` and go their usual way where it says no. Derivatives of
derivatives and vmap go by plain formulas, as they do elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.library import custom_op

from scs_study.layers.kernels.start import launch, triton_starts

Sides = tuple[int, int]
TILE = 4096
"""Elements that a pointwise program works on at a time."""
POOL_TILE = 1024
"""Elements that a program of a pool works on: with 4096, windows of 3x3 and 4x4 need more registers than a thread has
and spill to memory (measured for sm_90)."""
PROGRAMS = 1024
"""At most so many programs share a sum: few enough to be added up in no time, enough to fill a GPU."""
MOST_CHANNELS = 2048


def usable(x: Tensor) -> bool:
    """Return whether the operators take x (B, C, H, W): on CUDA, in a precision up to float32, not under torch.compile,
    and where Triton starts.
    """
    return (
        x.is_cuda
        and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and 0 < x.shape[1] <= MOST_CHANNELS
        and x.numel() > 0
        and not torch.compiler.is_compiling()
        and triton_starts(x.device)
    )


def cosine_power(z: Tensor, energy: Tensor, p: Tensor, q: Tensor, eps: float) -> Tensor:
    """Return sgn(c) (|c| + eps)^p, float32 (B, O, H, W), with c = z / (sqrt(energy + eps) + q).

    z is (B, O, H, W), energy float32 (B, 1, H, W), p float32 (O,), q float32 ().
    """
    y: Tensor = _Power.apply(z, energy, p, q, eps)
    return y


def dot_power(z: Tensor, p: Tensor, eps: float) -> Tensor:
    """Return sgn(z) (|z| + eps)^p, float32 (B, O, H, W); z is (B, O, H, W), p float32 (O,)."""
    y: Tensor = _Power.apply(z, None, p, None, eps)
    return y


def channel_energy(x: Tensor) -> Tensor:
    """Return the sum of squares over the channels, float32 (B, 1, H, W), of x (B, C, H, W)."""
    energy: Tensor = _Energy.apply(x)
    return energy


def unit_kernels(weight: Tensor, least: float) -> Tensor:
    """Return the kernels of weight, float32 (O, C, kh, kw), over their lengths, or over `least` where shorter."""
    unit: Tensor = _Unit.apply(weight, least)[0]
    return unit


@custom_op("scs_study::power", mutates_args=())
def power(z: Tensor, energy: Tensor | None, p: Tensor, q: Tensor | None, eps: float) -> Tensor:
    """Return what `cosine_power`, or without energy and q `dot_power`, returns."""
    from scs_study.layers.kernels import triton as kernels

    z, rows, columns, tile = _as_matrix(z)
    y = torch.empty_like(z, dtype=torch.float32)
    arguments = (z, z if energy is None else energy.contiguous(), p.contiguous(), z if q is None else q)
    scaled = energy is not None
    launch(kernels.power_forward, _programs(rows, tile), z.device, *arguments, y, rows, columns, eps, scaled, **tile)
    return y


@power.register_fake
def _(z: Tensor, energy: Tensor | None, p: Tensor, q: Tensor | None, eps: float) -> Tensor:
    return torch.empty_like(z, dtype=torch.float32, memory_format=torch.channels_last)


@custom_op("scs_study::power_backward", mutates_args=())
def power_backward(
    grad: Tensor, z: Tensor, energy: Tensor | None, p: Tensor, q: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients to z, to energy (empty without), and, float32 (O + 1,), to p and q."""
    from scs_study.layers.kernels import triton as kernels

    z, rows, columns, tile = _as_matrix(z)
    grad = grad.contiguous(memory_format=torch.channels_last)
    grad_z, scaled = torch.empty_like(z), energy is not None
    grad_energy = z.new_empty(0) if energy is None else torch.empty_like(energy, memory_format=torch.contiguous_format)
    programs = min(_programs(rows, tile), PROGRAMS)
    sums = torch.empty(programs, columns + 1, dtype=torch.float32, device=z.device)
    arguments = (grad, z, z if energy is None else energy.contiguous(), p.contiguous(), z if q is None else q)
    results = (grad_z, grad_energy, sums)
    launch(kernels.power_backward, programs, z.device, *arguments, *results, rows, columns, eps, scaled, **tile)
    return grad_z, grad_energy, sums.sum(0)


@power_backward.register_fake
def _(
    grad: Tensor, z: Tensor, energy: Tensor | None, p: Tensor, q: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    grad_energy = z.new_empty(0) if energy is None else torch.empty_like(energy)
    return torch.empty_like(z, memory_format=torch.channels_last), grad_energy, p.new_empty(z.shape[1] + 1)


class _Power(Function):
    """(z, energy, p, q, eps) -> y; energy and q may both be None."""

    @staticmethod
    def forward(z: Tensor, energy: Tensor | None, p: Tensor, q: Tensor | None, eps: float) -> Tensor:
        y: Tensor = power(z, energy, p, q, eps)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.eps = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        z, energy, p, q = ctx.saved_tensors
        if torch.is_grad_enabled():  # a derivative of this derivative may be asked for
            wanted = [value for value, wants in zip((z, energy, p, q), ctx.needs_input_grad, strict=False) if wants]
            found = iter(torch.autograd.grad(_plain_power(z, energy, p, q, ctx.eps), wanted, grad, create_graph=True))
            return *(next(found) if wants else None for wants in ctx.needs_input_grad[:4]), None
        grad_z, grad_energy, sums = power_backward(grad, z, energy, p, q, ctx.eps)
        if energy is None:
            return grad_z, None, sums[:-1], None, None
        return grad_z, grad_energy, sums[:-1], sums[-1], None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        return torch.vmap(_plain_power, in_dims)(*args), 0


def _plain_power(z: Tensor, energy: Tensor | None, p: Tensor, q: Tensor | None, eps: float) -> Tensor:
    z = z.float()
    c = z if energy is None or q is None else z / ((energy + eps).sqrt() + q)
    return c.sign() * (c.abs() + eps) ** p.view(-1, 1, 1)


@custom_op("scs_study::energy", mutates_args=())
def energy(x: Tensor) -> Tensor:
    """Return what `channel_energy` returns."""
    from scs_study.layers.kernels import triton as kernels

    x, rows, columns, tile = _as_matrix(x)
    total = torch.empty(x.shape[0], 1, *x.shape[2:], dtype=torch.float32, device=x.device)
    launch(kernels.energy_forward, _programs(rows, tile), x.device, x, total, rows, columns, **tile)
    return total


@energy.register_fake
def _(x: Tensor) -> Tensor:
    return x.new_empty((x.shape[0], 1, *x.shape[2:]), dtype=torch.float32)


class _Energy(Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        total: Tensor = energy(x)
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        grad_x: Tensor = (2 * grad) * x
        return grad_x.to(x.dtype)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], x: Tensor) -> tuple[Tensor, int]:
        return x.movedim(in_dims[0], 0).float().square().sum(2, keepdim=True), 0


@custom_op("scs_study::unit", mutates_args=())
def unit(weight: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Return what `unit_kernels` returns, and the lengths (O,) that it divided by."""
    from scs_study.layers.kernels import triton as kernels

    weight, columns, width = _as_rows(weight)
    result, length = torch.empty_like(weight), weight.new_empty(len(weight))
    launch(kernels.unit_forward, len(weight), weight.device, weight, result, length, columns, least, COLUMNS=width)
    return result, length


@unit.register_fake
def _(weight: Tensor, least: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(weight), weight.new_empty(len(weight))


@custom_op("scs_study::unit_backward", mutates_args=())
def unit_backward(grad: Tensor, result: Tensor, length: Tensor, least: float) -> Tensor:
    """Return the gradient to weight of `unit`, from what it gave."""
    from scs_study.layers.kernels import triton as kernels

    result, columns, width = _as_rows(result)
    grad_weight = torch.empty_like(result)
    grad = torch.empty_like(result).copy_(grad) if grad.stride() != result.stride() else grad
    arguments = (grad, result, length, grad_weight, columns, least)
    launch(kernels.unit_backward, len(result), result.device, *arguments, COLUMNS=width)
    return grad_weight


@unit_backward.register_fake
def _(grad: Tensor, result: Tensor, length: Tensor, least: float) -> Tensor:
    return torch.empty_like(result)


class _Unit(Function):
    """(weight, least) -> (unit, length); no gradient goes through the second."""

    @staticmethod
    def forward(weight: Tensor, least: float) -> tuple[Tensor, Tensor]:
        result, length = unit(weight, least)
        return result, length

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: tuple[Tensor, Tensor]) -> None:
        weight, ctx.least = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # else zeros would be written for the second output, which has no gradient
        ctx.save_for_backward(weight, *output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, None]:
        if grad is None:
            return None, None
        weight, result, length = ctx.saved_tensors
        if torch.is_grad_enabled():
            plain = _plain_unit(weight, ctx.least)[0]
            return torch.autograd.grad(plain, weight, grad, create_graph=True)[0], None
        grad_weight: Tensor = unit_backward(grad, result, length, ctx.least)
        return grad_weight, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        return torch.vmap(_plain_unit, in_dims)(*args), (0, 0)


def _plain_unit(weight: Tensor, least: float) -> tuple[Tensor, Tensor]:
    length = weight.square().sum((1, 2, 3)).clamp_min(least**2).sqrt()
    return weight / length.view(-1, 1, 1, 1), length


@custom_op("scs_study::max_abs_pool", mutates_args=())
def max_abs_pool(
    x: Tensor, kernel: list[int], stride: list[int], padding: list[int], size: list[int]
) -> tuple[Tensor, Tensor]:
    """Return the values of largest magnitude (B, C, *size) of x (B, C, H, W), and int64 places in an (H, W) plane."""
    from scs_study.layers.kernels import triton as kernels

    x, _, columns, _ = _as_matrix(x)
    values = torch.empty((*x.shape[:2], *size), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    indices = torch.empty_like(values, dtype=torch.int64)
    _, rows, _, tile = _as_matrix(values, POOL_TILE)
    sizes = (rows, columns, *x.shape[2:], *size, *kernel, *stride, *padding)
    tile["WIDE"] = _wide(x)
    launch(kernels.pool_forward, _programs(rows, tile), x.device, x, values, indices, *sizes, **tile)
    return values, indices


@max_abs_pool.register_fake
def _(x: Tensor, kernel: list[int], stride: list[int], padding: list[int], size: list[int]) -> tuple[Tensor, Tensor]:
    values = torch.empty((*x.shape[:2], *size), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    return values, torch.empty_like(values, dtype=torch.int64)


@custom_op("scs_study::max_abs_pool_backward", mutates_args=())
def max_abs_pool_backward(
    grad: Tensor, indices: Tensor, kernel: list[int], stride: list[int], padding: list[int], size: list[int]
) -> Tensor:
    """Return the gradient (B, C, *size) to x of `max_abs_pool`."""
    from scs_study.layers.kernels import triton as kernels

    grad, _, columns, _ = _as_matrix(grad)
    indices = indices.contiguous(memory_format=torch.channels_last)
    grad_x = torch.empty((*grad.shape[:2], *size), dtype=grad.dtype, device=grad.device).contiguous(
        memory_format=torch.channels_last
    )
    _, rows, _, tile = _as_matrix(grad_x, POOL_TILE)
    sizes = (rows, columns, *size, *grad.shape[2:], *kernel, *stride, *padding)
    tile["WIDE"] = _wide(grad_x)
    launch(kernels.pool_backward, _programs(rows, tile), grad.device, grad, indices, grad_x, *sizes, **tile)
    return grad_x


@max_abs_pool_backward.register_fake
def _(
    grad: Tensor, indices: Tensor, kernel: list[int], stride: list[int], padding: list[int], size: list[int]
) -> Tensor:
    return torch.empty((*grad.shape[:2], *size), dtype=grad.dtype, device=grad.device).contiguous(
        memory_format=torch.channels_last
    )


def _as_matrix(x: Tensor, tile: int | None = None) -> tuple[Tensor, int, int, dict[str, int]]:
    """x in channels_last, the rows and columns that it is seen as, and the tile of a program (of TILE elements)."""
    columns = x.shape[1]
    width = 1 << (columns - 1).bit_length()
    sides = {"ROWS": max(1, (tile or TILE) // width), "COLUMNS": width}
    return x.contiguous(memory_format=torch.channels_last), x.numel() // columns, columns, sides


def _wide(x: Tensor) -> bool:
    """Whether places in x need 64 bits, which cost a pool registers and time."""
    return x.numel() >= 2**31


def _as_rows(weight: Tensor) -> tuple[Tensor, int, int]:
    """weight with each kernel's values side by side in memory, how many they are, and the tile of a program."""
    if not weight.is_contiguous() and not weight.is_contiguous(memory_format=torch.channels_last):
        weight = weight.contiguous()
    columns = weight[0].numel()
    return weight, columns, 1 << (columns - 1).bit_length()


def _programs(rows: int, tile: dict[str, int]) -> int:
    return -(-rows // tile["ROWS"])
