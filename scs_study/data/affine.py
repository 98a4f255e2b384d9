"""torchvision's RandomAffine as a batch of matrices: what is drawn, and images seen through it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def draw_affine(
    settings: tuple[float, float, float, float, float], count: int, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Return where each of `count` images looks for its pixels, float32 (count, 2, 3) for torch's affine_grid.

    settings: data.affine, the arguments of torchvision's RandomAffine(degrees, (shift, shift), (scale_low, scale_high),
    shear), of equal law: angle, shear along x and scale uniform, shifts uniform and then rounded to whole pixels.
    size: height and width of the images.
    """
    degrees, shift, low, high, shear = settings
    angle, across, down, zoom, lean = torch.rand((5, count), generator=generator, dtype=torch.float64)
    shifts = [((2 * at - 1) * shift * side).round() for at, side in zip((across, down), reversed(size), strict=True)]
    scale = low + (high - low) * zoom
    return maps((2 * angle - 1) * degrees, shifts[0], shifts[1], scale, (2 * lean - 1) * shear, size)


def maps(angle: Tensor, right: Tensor, below: Tensor, scale: Tensor, shear: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the matrices (N, 2, 3) of torchvision's functional.affine; all (N,) float64, angle and shear in degrees.

    An image is sheared along x, turned about its centre, scaled, and shifted by whole pixels; this is the way back.
    """
    height, width = size
    turn, slope = angle * math.pi / 180, (shear * math.pi / 180).tan()
    cosine, sine = turn.cos() / scale, turn.sin() / scale
    xx, xy = cosine - sine * slope, sine + cosine * slope
    yx, yy = -sine, cosine
    rows = [
        torch.stack([xx, xy * height / width, -(xx * right + xy * below) * 2 / width], 1),
        torch.stack([yx * width / height, yy, -(yx * right + yy * below) * 2 / height], 1),
    ]
    return torch.stack(rows, 1).float()


def seen_through(x: Tensor, affine: Tensor) -> Tensor:
    """Return images (B, C, H, W) through their matrices (B, 2, 3): the nearest pixel, black outside."""
    grid = affine_grid(affine, list(x.shape), align_corners=False)
    return grid_sample(x, grid, mode="nearest", padding_mode="zeros", align_corners=False)
