"""Triton kernels: the signed power of a cosine, the energy of a patch and MaxAbsPool, each in one pass over memory.

Tensors are channels_last and seen as matrices: a row for every image and place, a column for every channel. Sums over
rows leave each program as its part, to be added up afterwards in a fixed order: the same bits at every run. The number
of columns is a constant of the compiled kernel, so that rows of 24 or 40 channels are read 16 bytes at a time.
"""

import os

import triton
import triton.language as tl

# A product and the sum it goes into are rounded once; unset, that and so the last bits depend on Triton's version.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")


@triton.jit
def power_forward(
    z, energy, p, q, y, rows, columns: tl.constexpr, eps,
    SCALED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """y = sgn(c) (|c| + eps)^p with c = z / (sqrt(energy + eps) + q), or c = z where not SCALED."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    at = row[:, None] * columns + column[None, :]
    c = tl.load(z + at, mask=inside, other=0.0).to(tl.float32)
    if SCALED:
        length = tl.sqrt(tl.load(energy + row, mask=row < rows, other=1.0) + eps)
        c = c / (length + tl.load(q))[:, None]
    exponent = tl.load(p + column, mask=column < columns, other=1.0)[None, :]
    size = tl.exp2(exponent * tl.log2(tl.abs(c) + eps))
    tl.store(y + at, tl.where(c > 0, size, tl.where(c < 0, -size, c * 0.0)), mask=inside)


@triton.jit
def power_backward(
    grad, z, energy, p, q, grad_z, grad_energy, sums, rows, columns: tl.constexpr, eps,
    SCALED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Return the gradients of power_forward to z and energy; those to p (columns) and q (one more) in parts, a program
    a row of `sums`.
    """
    column = tl.arange(0, COLUMNS)
    exponent = tl.load(p + column, mask=column < columns, other=1.0)[None, :]
    grad_p = tl.zeros((COLUMNS,), tl.float32)
    grad_q = tl.zeros((ROWS,), tl.float32)
    for start in range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        row = (start + tl.arange(0, ROWS)).to(tl.int64)
        inside = (row[:, None] < rows) & (column[None, :] < columns)
        at = row[:, None] * columns + column[None, :]
        value = tl.load(z + at, mask=inside, other=0.0).to(tl.float32)
        c = value
        scale = tl.full((ROWS,), 1.0, tl.float32)
        length = scale
        if SCALED:
            length = tl.sqrt(tl.load(energy + row, mask=row < rows, other=1.0) + eps)
            scale = 1.0 / (length + tl.load(q))
            c = c * scale[:, None]
        logarithm = tl.log2(tl.abs(c) + eps)
        rate = tl.load(grad + at, mask=inside, other=0.0) * tl.exp2(exponent * logarithm)
        rate = tl.where(c == 0, 0.0, rate)
        natural = tl.where(c == 0, 0.0, logarithm * 0.6931471805599453)
        grad_p += tl.sum(tl.where(c < 0, -rate, rate) * natural, axis=0)
        to_c = rate * exponent / tl.where(c == 0, 1.0, tl.abs(c) + eps)
        tl.store(grad_z + at, to_c * scale[:, None], mask=inside)
        if SCALED:
            to_length = -tl.sum(to_c * value, axis=1) * scale * scale
            tl.store(grad_energy + row, to_length * 0.5 / length, mask=row < rows)
            grad_q += tl.where(row < rows, to_length, 0.0)
    part = sums + tl.program_id(0) * (columns + 1)
    tl.store(part + column, grad_p, mask=column < columns)
    tl.store(part + columns, tl.sum(grad_q, axis=0))


@triton.jit
def energy_forward(x, energy, rows, columns: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """energy = the sum of x^2 over the columns of each row."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    value = tl.load(x + row[:, None] * columns + column[None, :], mask=inside, other=0.0).to(tl.float32)
    tl.store(energy + row, tl.sum(value * value, axis=1), mask=row < rows)


@triton.jit
def unit_forward(weight, unit, length, columns: tl.constexpr, least, COLUMNS: tl.constexpr):
    """unit = each row of weight over its length, or over `least` where it is shorter."""
    row = tl.program_id(0)
    column = tl.arange(0, COLUMNS)
    at = row * columns + column
    value = tl.load(weight + at, mask=column < columns, other=0.0)
    size = tl.sqrt(tl.maximum(tl.sum(value * value, axis=0), least * least))
    tl.store(unit + at, value / size, mask=column < columns)
    tl.store(length + row, size)


@triton.jit
def unit_backward(grad, unit, length, grad_weight, columns: tl.constexpr, least, COLUMNS: tl.constexpr):
    """Return the gradient to weight: what of grad lies across the row, over the length; all, for a row too short."""
    row = tl.program_id(0)
    column = tl.arange(0, COLUMNS)
    at = row * columns + column
    value = tl.load(grad + at, mask=column < columns, other=0.0)
    direction = tl.load(unit + at, mask=column < columns, other=0.0)
    size = tl.load(length + row)
    along = tl.where(size > least, tl.sum(value * direction, axis=0), 0.0)
    tl.store(grad_weight + at, (value - along * direction) / size, mask=column < columns)


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
