"""The Triton kernel of the cross entropy."""

import triton
import triton.language as tl


@triton.jit
def cross_entropy(
    output, y, loss, correct, grad, rows, classes: tl.constexpr, smoothing, ROWS: tl.constexpr, CLASSES: tl.constexpr
):  # fmt: skip
    """loss = the mean cross entropy of `rows` rows, correct = how many of them have their largest number, or their
    first NaN, at y; grad = the gradient of loss to output. One program does it all, in a fixed order.
    """
    column = tl.arange(0, CLASSES)[None, :]
    total, right = tl.zeros((ROWS,), tl.float32), tl.zeros((ROWS,), tl.int32)
    for start in range(0, rows, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row[:, None] < rows) & (column < classes)
        at = row[:, None] * classes + column
        value = tl.load(output + at, mask=inside, other=float("-inf")).to(tl.float32)
        value = tl.where(row[:, None] < rows, value, 0.0)
        label = tl.load(y + row, mask=row < rows, other=0)[:, None]
        odd = (value != value).to(tl.int32)
        high = tl.max(value, axis=1)[:, None]
        best = tl.where(tl.max(odd, axis=1)[:, None] > 0, odd > 0, value == high)
        first = tl.min(tl.where(best, column, CLASSES), axis=1)[:, None]
        right += tl.sum(tl.where((column == 0) & (first == label) & inside, 1, 0), axis=1)
        shifted = tl.where(inside, value - high, 0.0)
        powers = tl.where(inside, tl.exp(shifted), 0.0)
        sums = tl.where(row < rows, tl.sum(powers, axis=1), 1.0)[:, None]
        wanted = tl.where(column == label, 1.0 - smoothing, 0.0) + smoothing / classes
        lost = tl.where(inside, wanted * (tl.log(sums) - shifted), 0.0)
        total += tl.sum(lost, axis=1)
        tl.store(grad + at, (powers / sums - wanted) / rows, mask=inside)
    tl.store(loss, tl.sum(total, axis=0) / rows)
    tl.store(correct, tl.sum(right, axis=0).to(tl.int64))
