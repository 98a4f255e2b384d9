"""The Triton kernels of an optimizer's step and of the norms that are logged of it."""

import triton
import triton.language as tl


@triton.jit
def optimizer_step(
    values, gradient, first, second, factors, at, low, high, squares, size, slots, beta2, rest2, eps, weight_decay,
    ADAM: tl.constexpr, SLOT: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    """Make one step of Adam, or of SGD with momentum, on `size` values, then clamp them; the step's number and so its
    rates are read from the device. A slot has bounds of its own, and leaves the sums of squares of its gradient and of
    its new values. No number is outside every bound: a NaN stays.
    """
    slot = tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)
    place = slot[:, None] * SLOT + tl.arange(0, SLOT)[None, :]
    inside = place < size
    row = factors + 4 * tl.load(at)
    blend, rate, root, shrink = tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3)
    value = tl.load(values + place, mask=inside, other=0.0)
    g = tl.load(gradient + place, mask=inside, other=0.0)
    tl.store(squares + slot, tl.sum(g * g, axis=1), mask=slot < slots)
    value = value * shrink
    g += weight_decay * value
    m = tl.load(first + place, mask=inside, other=0.0)
    if ADAM:
        m = m + blend * (g - m)
        v = beta2 * tl.load(second + place, mask=inside, other=0.0) + rest2 * g * g
        tl.store(second + place, v, mask=inside)
        value += rate * m / (tl.sqrt(v) / root + eps)
    else:
        m = blend * m + g
        value += rate * m
    tl.store(first + place, m, mask=inside)
    least = tl.load(low + slot, mask=slot < slots, other=0.0)[:, None]
    most = tl.load(high + slot, mask=slot < slots, other=0.0)[:, None]
    value = tl.where(value < least, least, tl.where(value > most, most, value))
    tl.store(values + place, value, mask=inside)
    tl.store(squares + slots + slot, tl.sum(value * value, axis=1), mask=slot < slots)


@triton.jit
def norms(squares, slots, ranges, step, gradient_norm, weight_norm, layers, first_layer, BLOCK: tl.constexpr):
    """Write the norms of a layer a program into row `step` of two logs of `layers` columns, from slots' squares.

    ranges: each layer's first slot and the one after its last.
    """
    layer = tl.program_id(0)
    begin, end = tl.load(ranges + 2 * layer), tl.load(ranges + 2 * layer + 1)
    of_gradient, of_weight = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for start in range(begin, end, BLOCK):
        slot = start + tl.arange(0, BLOCK)
        of_gradient += tl.load(squares + slot, mask=slot < end, other=0.0)
        of_weight += tl.load(squares + slots + slot, mask=slot < end, other=0.0)
    to = tl.load(step) * layers + first_layer + layer
    tl.store(gradient_norm + to, tl.sqrt(tl.sum(of_gradient, axis=0)))
    tl.store(weight_norm + to, tl.sqrt(tl.sum(of_weight, axis=0)))
