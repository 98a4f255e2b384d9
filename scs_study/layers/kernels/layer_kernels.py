"""Triton kernels of a sharpened layer: unit kernels, patch energies, and the signed power with its pool.

Tensors are channels_last and seen as matrices: a row for every image and place, a column for every channel. Sums over
rows leave each program as its part, to be added up afterwards in a fixed order: the same bits at every run. The number
of columns is a constant of the compiled kernel, so that rows of 24 or 40 channels are read 16 bytes at a time. WIDE:
whether places need 64 bits, which cost registers and time.
"""

import os

import triton
import triton.language as tl

# A product and the sum it goes into are rounded once; unset, that and so the last bits depend on Triton's version.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")


@triton.jit
def power_forward(
    z, energy, p, q, y, base, winner, rows, columns: tl.constexpr, height, width, out_height, out_width, eps,
    SCALED: tl.constexpr, DEPTHWISE: tl.constexpr, BY_SIZE: tl.constexpr, KEEP: tl.constexpr,
    WINDOW_H: tl.constexpr, WINDOW_W: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """y = sgn(c) (|c| + eps)^p with c = z / (sqrt(energy + eps) + q), or c = z where not SCALED, of the c that wins its
    window: the first of the largest values, or BY_SIZE of the largest magnitudes, the positive one of two; a NaN wins
    over all. KEEP: c goes to `base`, and its place in a window of several to `winner`.
    """
    first = tl.program_id(0) * ROWS
    row = (first.to(tl.int64) if WIDE else first) + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    inside = (row[:, None] < rows) & (column < columns)
    image, place = row // (out_height * out_width), row % (out_height * out_width)
    top, left = place // out_width * WINDOW_H, place % out_width * WINDOW_W
    c = tl.zeros((ROWS, COLUMNS), tl.float32)
    best = tl.full((ROWS, COLUMNS), float("-inf"), tl.float32)
    at = tl.zeros((ROWS, COLUMNS), tl.int32)
    for i in tl.static_range(WINDOW_H):
        for j in tl.static_range(WINDOW_W):
            h, w = top + i, left + j
            seen = (row < rows) & (h < height) & (w < width)
            source = (image * height + h) * width + w
            here = seen[:, None] & inside
            value = tl.load(z + source[:, None] * columns + column, mask=here, other=0.0).to(tl.float32)
            if SCALED:
                if DEPTHWISE:
                    total = tl.load(energy + source[:, None] * columns + column, mask=here, other=1.0)
                    value = value / (tl.sqrt(total + eps) + tl.load(q))
                else:
                    total = tl.load(energy + source, mask=seen, other=1.0)
                    value = value / (tl.sqrt(total + eps) + tl.load(q))[:, None]
            if WINDOW_H * WINDOW_W == 1:
                c = value
            else:
                size = tl.abs(value) if BY_SIZE else value
                larger = (size > best) | (value != value)
                if BY_SIZE:
                    larger = larger | ((size == best) & (value > 0) & (c < 0))
                if i + j == 0:  # nothing is larger than the least there is; whatever comes first counts until then
                    larger = inside | larger
                larger = larger & here
                c, best = tl.where(larger, value, c), tl.where(larger, size, best)
                at = tl.where(larger, i * WINDOW_W + j, at)
    to = row[:, None] * columns + column
    exponent = tl.load(p + column, mask=column < columns, other=1.0)
    power = tl.exp2(exponent * tl.log2(tl.abs(c) + eps))
    tl.store(y + to, tl.where(c > 0, power, tl.where(c < 0, -power, c * 0.0)), mask=inside)
    if KEEP:
        tl.store(base + to, c, mask=inside)
        if WINDOW_H * WINDOW_W > 1:
            tl.store(winner + to, at.to(tl.uint8), mask=inside)


@triton.jit
def power_backward(
    grad, base, winner, energy, p, q, grad_z, grad_energy, parts, rows, columns: tl.constexpr, height, width,
    out_height, out_width, eps,
    SCALED: tl.constexpr, DEPTHWISE: tl.constexpr, WINDOW_H: tl.constexpr, WINDOW_W: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Return the gradients of power_forward to z and energy; those to p (columns) and q (one more) in parts, a program
    a column of `parts`. A row is a window, or what is left of one at an edge where no window counts.
    """
    column = tl.arange(0, COLUMNS)[None, :]
    exponent = tl.load(p + column, mask=column < columns, other=1.0)
    grad_p = tl.zeros((COLUMNS,), tl.float32)
    grad_q = tl.zeros((ROWS,), tl.float32)
    across, down = (width + WINDOW_W - 1) // WINDOW_W, (height + WINDOW_H - 1) // WINDOW_H
    for start in range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        row = start + tl.arange(0, ROWS)
        if WIDE:
            row = row.to(tl.int64)
        image, place = row // (down * across), row % (down * across)
        y, x = place // across, place % across
        counts = (row < rows) & (y < out_height) & (x < out_width)
        inside = counts[:, None] & (column < columns)
        window = ((image * out_height + y) * out_width + x)[:, None] * columns + column
        c = tl.load(base + window, mask=inside, other=0.0)
        logarithm = tl.log2(tl.abs(c) + eps)
        rate = tl.load(grad + window, mask=inside, other=0.0).to(tl.float32) * tl.exp2(exponent * logarithm)
        rate = tl.where(c == 0, 0.0, rate)
        natural = tl.where(c == 0, 0.0, logarithm * 0.6931471805599453)
        grad_p += tl.sum(tl.where(c < 0, -rate, rate) * natural, axis=0)
        to_c = rate * exponent / tl.where(c == 0, 1.0, tl.abs(c) + eps)
        to_scale = to_c * c
        if WINDOW_H * WINDOW_W > 1:
            at = tl.load(winner + window, mask=inside, other=0).to(tl.int32)
        for i in tl.static_range(WINDOW_H):
            for j in tl.static_range(WINDOW_W):
                h, w = y * WINDOW_H + i, x * WINDOW_W + j
                seen = (row < rows) & (h < height) & (w < width)
                source = (image * height + h) * width + w
                to = source[:, None] * columns + column
                here = seen[:, None] & (column < columns)
                won, shrinks = to_c, to_scale
                if WINDOW_H * WINDOW_W > 1:  # not a product with 0, which a NaN that won elsewhere would spoil
                    chosen = at == i * WINDOW_W + j
                    won, shrinks = tl.where(chosen, to_c, 0.0), tl.where(chosen, to_scale, 0.0)
                if SCALED:
                    if DEPTHWISE:
                        length = tl.sqrt(tl.load(energy + to, mask=here, other=1.0) + eps)
                        scale = 1.0 / (length + tl.load(q))
                        to_length = -shrinks * scale
                        tl.store(grad_energy + to, to_length * 0.5 / length, mask=here)
                        grad_q += tl.sum(tl.where(here, to_length, 0.0), axis=1)
                        won = won * scale
                    else:
                        length = tl.sqrt(tl.load(energy + source, mask=seen, other=1.0) + eps)
                        scale = 1.0 / (length + tl.load(q))
                        to_length = -tl.sum(shrinks, axis=1) * scale
                        tl.store(grad_energy + source, to_length * 0.5 / length, mask=seen)
                        grad_q += tl.where(seen, to_length, 0.0)
                        won = won * scale[:, None]
                tl.store(grad_z + to, won, mask=here)
    part = parts + tl.program_id(0)
    ends = tl.arange(0, COLUMNS)
    tl.store(part + ends * tl.num_programs(0), grad_p, mask=ends < columns)
    tl.store(part + columns * tl.num_programs(0), tl.sum(grad_q, axis=0))


@triton.jit
def energy_forward(
    x, energy, rows, columns: tl.constexpr, height, width, out_height, out_width,
    KERNEL_H: tl.constexpr, KERNEL_W: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr,
    PAD_H: tl.constexpr, PAD_W: tl.constexpr, DILATION_H: tl.constexpr, DILATION_W: tl.constexpr,
    SQUARES: tl.constexpr, DEPTHWISE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """energy = the sum of x^2, or of x where not SQUARES, over the places that a kernel sees and, where not DEPTHWISE,
    the columns.
    """
    first = tl.program_id(0) * ROWS
    row = (first.to(tl.int64) if WIDE else first) + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    inside = (row[:, None] < rows) & (column < columns)
    image, place = row // (out_height * out_width), row % (out_height * out_width)
    top, left = place // out_width * STRIDE_H - PAD_H, place % out_width * STRIDE_W - PAD_W
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for i in tl.static_range(KERNEL_H):
        for j in tl.static_range(KERNEL_W):
            h, w = top + i * DILATION_H, left + j * DILATION_W
            seen = ((h >= 0) & (h < height) & (w >= 0) & (w < width))[:, None] & inside
            source = ((image * height + h) * width + w)[:, None] * columns + column
            value = tl.load(x + source, mask=seen, other=0.0).to(tl.float32)
            total += value * value if SQUARES else value
    if DEPTHWISE:
        tl.store(energy + row[:, None] * columns + column, total, mask=inside)
    else:
        tl.store(energy + row, tl.sum(total, axis=1), mask=row < rows)


@triton.jit
def energy_backward(
    x, grad_energy, grad, to, rows, columns: tl.constexpr, height, width, out_height, out_width,
    KERNEL_H: tl.constexpr, KERNEL_W: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr,
    PAD_H: tl.constexpr, PAD_W: tl.constexpr, DILATION_H: tl.constexpr, DILATION_W: tl.constexpr,
    DEPTHWISE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """to = grad, which came through the convolution, and the gradient of energy_forward to x."""
    first = tl.program_id(0) * ROWS
    row = (first.to(tl.int64) if WIDE else first) + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    inside = (row[:, None] < rows) & (column < columns)
    image, place = row // (height * width), row % (height * width)
    h, w = place // width + PAD_H, place % width + PAD_W
    if DEPTHWISE:
        total = tl.zeros((ROWS, COLUMNS), tl.float32)
    else:
        total = tl.zeros((ROWS,), tl.float32)
    for i in tl.static_range(KERNEL_H):
        for j in tl.static_range(KERNEL_W):
            top, left = h - i * DILATION_H, w - j * DILATION_W
            y, z = top // STRIDE_H, left // STRIDE_W
            seen = (row < rows) & (top >= 0) & (left >= 0) & (y < out_height) & (z < out_width)
            seen = seen & (top == y * STRIDE_H) & (left == z * STRIDE_W)
            source = (image * out_height + y) * out_width + z
            if DEPTHWISE:
                at = source[:, None] * columns + column
                total += tl.load(grad_energy + at, mask=seen[:, None] & inside, other=0.0)
            else:
                total += tl.load(grad_energy + source, mask=seen, other=0.0)
    at = row[:, None] * columns + column
    twice = 2.0 * total if DEPTHWISE else (2.0 * total)[:, None]
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(to + at, tl.load(grad + at, mask=inside, other=0.0).to(tl.float32) + twice * value, mask=inside)


@triton.jit
def unit_forward(weight, unit, length, columns: tl.constexpr, least, COLUMNS: tl.constexpr):
    """unit = each row of weight over its length, or over `least` where it is shorter."""
    row = tl.program_id(0)
    column = tl.arange(0, COLUMNS)
    at = row * columns + column
    value = tl.load(weight + at, mask=column < columns, other=0.0).to(tl.float32)
    size = tl.sqrt(tl.maximum(tl.sum(value * value, axis=0), least * least))
    tl.store(unit + at, value / size, mask=column < columns)
    tl.store(length + row, size)


@triton.jit
def unit_backward(
    grad, weight, length, parts, grad_weight, sums, columns: tl.constexpr, count, least,
    INNER: tl.constexpr, OUTER: tl.constexpr, COLUMNS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Return the gradient to weight: what of grad lies across the row, over the length; all, for a row too short. And
    add up what power_backward left in `count` parts, a row of them a program, the last row the first one's.

    INNER, OUTER: of grad's layout, where it is not weight's; element k of a row of weight is k % INNER * OUTER +
    k // INNER of grad.
    """
    row = tl.program_id(0)
    column = tl.arange(0, COLUMNS)
    at = row * columns + column
    there = row * columns + column % INNER * OUTER + column // INNER
    size = tl.load(length + row)
    value = tl.load(grad + there, mask=column < columns, other=0.0).to(tl.float32)
    direction = tl.load(weight + at, mask=column < columns, other=0.0).to(tl.float32) / size
    along = tl.where(size > least, tl.sum(value * direction, axis=0), 0.0)
    tl.store(grad_weight + at, (value - along * direction) / size, mask=column < columns)
    part = tl.arange(0, PARTS)
    tl.store(sums + row, tl.sum(tl.load(parts + row * count + part, mask=part < count, other=0.0), axis=0))
    if row == 0:
        last = tl.num_programs(0)
        tl.store(sums + last, tl.sum(tl.load(parts + last * count + part, mask=part < count, other=0.0), axis=0))
