"""A training batch of a plan as one kernel, for CUDA: row numbers, crop, flip and division by 255 take ten else."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from scs_study.layers.kernels.start import launch, triton_starts

BLOCK = 1024


def usable(pixels: Tensor) -> bool:
    """Return whether `training_batch` takes such pixels: on CUDA, where Triton starts."""
    return pixels.is_cuda and triton_starts(pixels.device)


def training_batch(
    pixels: Tensor,
    shown: Mapping[str, Tensor],
    step: Tensor,
    rows: tuple[int, int],
    size: tuple[int, int, int],
    wide: int,
    flip: bool,
) -> tuple[Tensor, Tensor]:
    """Return images, float32 (B, C, H, W) in [0, 1] and channels_last, and labels, int64 (B,).

    pixels: all padded images, uint8, one after the other. shown: a plan's starts, mirrored and labels, a row for each
    image. step: int64 (1,), on the device; rows: images of every full batch, and of this one. size: C, H and W; wide:
    that of a padded image. flip: whether `mirrored` counts.
    """
    from scs_study.data import batch_kernel

    channels, height, width = size
    batch_size, count = rows
    x = torch.empty(count, *size, device=pixels.device, memory_format=torch.channels_last)
    y = torch.empty(count, dtype=torch.int64, device=pixels.device)
    tensors = (pixels, shown["starts"], shown["mirrored"].view(torch.uint8), shown["labels"], step, x, y)
    numbers = (batch_size, x.numel(), height, width, wide)
    constants = {"channels": channels, "FLIP": flip, "BLOCK": BLOCK}
    launch(batch_kernel.training_batch, -(-x.numel() // BLOCK), x.device, *tensors, *numbers, **constants)
    return x, y
