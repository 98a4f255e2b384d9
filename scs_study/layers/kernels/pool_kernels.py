"""Triton kernels of MaxAbsPool, each in one pass over memory; tensors are seen as in `layer_kernels`."""

import triton
import triton.language as tl


@triton.jit
def pool_forward(
    x, values, indices, rows, columns: tl.constexpr, height, width, out_height, out_width,
    KERNEL_H: tl.constexpr, KERNEL_W: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr,
    PAD_H: tl.constexpr, PAD_W: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Return the value of largest magnitude of each window, the positive one of two equal, and its place in the plane.

    Largest and smallest are both looked for, as max_pool2d does: the first of equals wins, and a NaN wins over all.
    """
    first = tl.program_id(0) * ROWS
    row = (first.to(tl.int64) if WIDE else first) + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    inside = (row[:, None] < rows) & (column < columns)
    image, place = row // (out_height * out_width), row % (out_height * out_width)
    top, left = place // out_width * STRIDE_H - PAD_H, place % out_width * STRIDE_W - PAD_W
    high = tl.full((ROWS, COLUMNS), float("-inf"), tl.float32)
    low = high
    high_at = tl.zeros((ROWS, COLUMNS), tl.int32)  # of a plane, which is never so large
    low_at = high_at
    for i in tl.static_range(KERNEL_H):
        for j in tl.static_range(KERNEL_W):
            h, w = top + i, left + j
            seen = ((h >= 0) & (h < height) & (w >= 0) & (w < width))[:, None] & inside
            at = (h * width + w).to(tl.int32)
            value = tl.load(x + (image * (height * width) + at)[:, None] * columns + column, mask=seen, other=0.0)
            value = value.to(tl.float32)
            larger = seen & ((value > high) | (value != value))
            smaller = seen & ((-value > low) | (value != value))
            high, high_at = tl.where(larger, value, high), tl.where(larger, at[:, None], high_at)
            low, low_at = tl.where(smaller, -value, low), tl.where(smaller, at[:, None], low_at)
    keep = high >= low
    to = row[:, None] * columns + column
    tl.store(values + to, tl.where(keep, high, -low), mask=inside)
    tl.store(indices + to, tl.where(keep, high_at, low_at).to(tl.int64), mask=inside)


@triton.jit
def pool_backward(
    grad, indices, grad_x, rows, columns: tl.constexpr, height, width, out_height, out_width,
    KERNEL_H: tl.constexpr, KERNEL_W: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr,
    PAD_H: tl.constexpr, PAD_W: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Return the gradient to x: every place asks the windows that see it whether they chose it, so nothing is
    scattered.
    """
    first = tl.program_id(0) * ROWS
    row = (first.to(tl.int64) if WIDE else first) + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    inside = (row[:, None] < rows) & (column < columns)
    image, place = row // (height * width), row % (height * width)
    h, w = place // width + PAD_H, place % width + PAD_W
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for i in tl.static_range((KERNEL_H + STRIDE_H - 1) // STRIDE_H):
        for j in tl.static_range((KERNEL_W + STRIDE_W - 1) // STRIDE_W):
            y, x = h // STRIDE_H - i, w // STRIDE_W - j
            seen = (y >= 0) & (y < out_height) & (x >= 0) & (x < out_width)
            seen = seen & (h - y * STRIDE_H < KERNEL_H) & (w - x * STRIDE_W < KERNEL_W)
            window = ((image * out_height + y) * out_width + x)[:, None] * columns + column
            chosen = tl.load(indices + window, mask=seen[:, None] & inside, other=-1).to(tl.int32) == place[:, None]
            total += tl.load(grad + window, mask=chosen & inside & seen[:, None], other=0.0).to(tl.float32)
    tl.store(grad_x + row[:, None] * columns + column, total, mask=inside)
