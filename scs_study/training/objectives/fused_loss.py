"""Cross entropy, its gradient and the count of images classified rightly as one kernel, for CUDA."""

from __future__ import annotations

import torch
from torch import Tensor

from scs_study.layers.kernels.start import launch, triton_starts

TILE = 2048
MOST = 1 << 16
"""Numbers that one program gets through while others would hardly have begun: 128 images of 512 classes."""


def usable(output: Tensor) -> bool:
    """Return whether `cross_entropy` takes output (B, classes): on CUDA, not too large, where Triton starts."""
    return output.is_cuda and output.shape[1] <= TILE and output.numel() <= MOST and triton_starts(output.device)


def cross_entropy(output: Tensor, y: Tensor, smoothing: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean loss, float32 (), how many rows are classified rightly, int64 (), and the loss's gradient.

    output: (B, classes), y: int64 (B,), smoothing: as torch's label_smoothing. The gradient is output's in shape and
    precision; sums are float32.
    """
    from scs_study.training.objectives import loss_kernel

    output = output.contiguous()
    rows, classes = output.shape
    loss, correct = (torch.empty((), dtype=each, device=output.device) for each in (torch.float32, torch.int64))
    grad, width = torch.empty_like(output), 1 << (classes - 1).bit_length()
    tensors, tile = (output, y, loss, correct, grad), {"ROWS": max(1, TILE // width), "CLASSES": width}
    launch(loss_kernel.cross_entropy, 1, output.device, *tensors, rows, classes, float(smoothing), **tile)
    return loss, correct, grad
