"""The Triton kernel that makes a training batch."""

import triton
import triton.language as tl


@triton.jit
def training_batch(
    pixels, starts, mirrored, labels, step, x, y, batch_size, total, height, width, wide, channels: tl.constexpr,
    FLIP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """x = the crops of a step, over 255, y = their labels. `wide`: a padded image's width. `total`: numbers in x."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < total
    channel, at = place % channels, place // channels
    column, row, image = at % width, at // width % height, at // width // height
    entry = tl.load(step) * batch_size + image
    first = tl.load(starts + entry, mask=inside, other=0)
    if FLIP:
        column = tl.where(tl.load(mirrored + entry, mask=inside, other=0) != 0, width - 1 - column, column)
    value = tl.load(pixels + (first + row * wide + column) * channels + channel, mask=inside, other=0)
    tl.store(x + place, tl.div_rn(value.to(tl.float32), 255.0), mask=inside)  # rounded as torch rounds it
    leads = inside & (place % (channels * width * height) == 0)
    tl.store(y + image, tl.load(labels + entry, mask=leads, other=0), mask=leads)
