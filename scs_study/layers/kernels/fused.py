"""What GPU operators have in common: what they take, and how their programs share a tensor; and MaxAbsPool as one.

`layers.functional` and `layers.pooling` ask `usable` and go their usual way where it says no. Derivatives of
derivatives and vmap go by plain formulas, as they do elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import custom_op

from scs_study.layers.kernels.start import launch, triton_starts

TILE = 1024
"""Elements that a program works on at a time: with 4096, windows of 3x3 and 4x4 need more registers than a thread has
and spill to memory (measured for sm_90)."""
FEWEST_PROGRAMS = 264
"""Where there is work for so many, tiles are made small enough: two for each of an H100's 132 processors."""
MOST_CHANNELS = 2048
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


def usable(x: Tensor) -> bool:
    """Return whether the operators take x (B, C, H, W): on CUDA, in a precision up to float32, not under torch.compile,
    and where Triton starts.
    """
    return (
        x.is_cuda
        and x.dtype in PRECISIONS
        and 0 < x.shape[1] <= MOST_CHANNELS
        and x.numel() > 0
        and not torch.compiler.is_compiling()
        and triton_starts(x.device)
    )


def tile_of(rows: int, columns: int) -> dict[str, int]:
    """Return the ROWS and COLUMNS, powers of two, that a program works on at a time in a matrix of such sides."""
    width = power_of_two(columns)
    most = max(1, rows // FEWEST_PROGRAMS)
    return {"ROWS": max(1, min(TILE // width, 1 << (most.bit_length() - 1))), "COLUMNS": width}


def programs(rows: int, tile: dict[str, int]) -> int:
    """Return how many tiles there are."""
    return -(-rows // tile["ROWS"])


def power_of_two(number: int) -> int:
    """Return the smallest power of two that is not below `number`."""
    return 1 << (number - 1).bit_length()


def is_wide(x: Tensor) -> bool:
    """Return whether places in x need 64 bits, which cost a kernel registers and time."""
    return x.numel() >= 2**31


@custom_op("scs_study::max_abs_pool", mutates_args=())
def max_abs_pool(
    x: Tensor, kernel: list[int], stride: list[int], padding: list[int], size: list[int]
) -> tuple[Tensor, Tensor]:
    """Return the values of largest magnitude (B, C, *size) of x (B, C, H, W), and int64 places in an (H, W) plane."""
    from scs_study.layers.kernels import pool_kernels as kernels

    x, columns = x.contiguous(memory_format=torch.channels_last), x.shape[1]
    values = torch.empty((*x.shape[:2], *size), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    indices = torch.empty_like(values, dtype=torch.int64)
    rows, tile = values.numel() // columns, tile_of(values.numel() // columns, columns)
    sizes = (rows, columns, *x.shape[2:], *size, *kernel, *stride, *padding)
    launch(kernels.pool_forward, programs(rows, tile), x.device, x, values, indices, *sizes, **tile, WIDE=is_wide(x))
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
    from scs_study.layers.kernels import pool_kernels as kernels

    grad, columns = grad.contiguous(memory_format=torch.channels_last), grad.shape[1]
    indices = indices.contiguous(memory_format=torch.channels_last)
    grad_x = torch.empty((*grad.shape[:2], *size), dtype=grad.dtype, device=grad.device).contiguous(
        memory_format=torch.channels_last
    )
    rows, tile = grad_x.numel() // columns, tile_of(grad_x.numel() // columns, columns)
    sizes, tensors = (rows, columns, *size, *grad.shape[2:], *kernel, *stride, *padding), (grad, indices, grad_x)
    launch(kernels.pool_backward, programs(rows, tile), grad.device, *tensors, *sizes, **tile, WIDE=is_wide(grad_x))
    return grad_x


@max_abs_pool_backward.register_fake
def _(
    grad: Tensor, indices: Tensor, kernel: list[int], stride: list[int], padding: list[int], size: list[int]
) -> Tensor:
    return torch.empty((*grad.shape[:2], *size), dtype=grad.dtype, device=grad.device).contiguous(
        memory_format=torch.channels_last
    )
