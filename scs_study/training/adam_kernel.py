"""The Triton kernel of Adam's step."""

import triton
import triton.language as tl


@triton.jit
def adam_step(
    values, gradient, first, second, factors, at, size, beta2, rest2, eps, weight_decay, BLOCK: tl.constexpr
):  # fmt: skip
    """Return one step of Adam on `size` values; the step's number and so its rates are read from the device."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    row = factors + 3 * tl.load(at)
    blend, rate, root = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    value = tl.load(values + place, mask=inside, other=0.0)
    g = tl.load(gradient + place, mask=inside, other=0.0) + weight_decay * value
    m = tl.load(first + place, mask=inside, other=0.0)
    m = m + blend * (g - m)
    v = beta2 * tl.load(second + place, mask=inside, other=0.0) + rest2 * g * g
    tl.store(first + place, m, mask=inside)
    tl.store(second + place, v, mask=inside)
    tl.store(values + place, value + rate * m / (tl.sqrt(v) / root + eps), mask=inside)
