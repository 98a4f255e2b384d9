"""The definitions of the three layers, with loops over output positions: slow, and independent of the package."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

TINY = 1e-24


def signed_power(c: Tensor, p: Tensor, eps: float) -> Tensor:
    return torch.sign(c) * (torch.abs(c) + eps) ** p


def patches(x, kernel, stride, padding, dilation):
    """Yield (i, j, patch (B, C, kh, kw)) for every output position."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel, stride, padding, dilation
    x = F.pad(x, (pw, pw, ph, ph))
    span_h, span_w = dh * (kh - 1) + 1, dw * (kw - 1) + 1
    rows, columns = range(0, x.shape[2] - span_h + 1, sh), range(0, x.shape[3] - span_w + 1, sw)
    for (i, top), (j, left) in itertools.product(enumerate(rows), enumerate(columns)):
        yield i, j, x[:, :, top : top + span_h : dh, left : left + span_w : dw]


def layer(x, weight, p, q, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, eps=1e-6, cosine=True):
    """Return the sharpened cosine similarity, or the sharpened dot product, one output number vector at a time."""
    out_channels, fan, *kernel = weight.shape
    p = torch.as_tensor(p, dtype=x.dtype).expand(out_channels)
    grid: dict[tuple[int, int], Tensor] = {}
    for i, j, patch in patches(x, kernel, stride, padding, dilation):
        channels = []
        for o in range(out_channels):
            g = o // (out_channels // groups)
            seen, w = patch[:, g * fan : (g + 1) * fan], weight[o]
            dot = (seen * w).sum((1, 2, 3))
            if cosine:
                norm_w = torch.sqrt((w * w).sum().clamp_min(TINY))
                dot = dot / norm_w / (torch.sqrt((seen * seen).sum((1, 2, 3)) + eps) + q)
            channels.append(signed_power(dot, p[o], eps))
        grid[i, j] = torch.stack(channels, 1)
    height, width = 1 + max(i for i, _ in grid), 1 + max(j for _, j in grid)
    return torch.stack([torch.stack([grid[i, j] for j in range(width)], -1) for i in range(height)], -2)


def max_abs(window: Tensor) -> Tensor:
    """Return the number of largest magnitude; of m and -m, m."""
    return max(window.flatten(), key=lambda value: (abs(float(value)), float(value)))
