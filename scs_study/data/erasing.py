"""Random erasing: a box in some images of an epoch, filled with noise; torchvision's law, in the ranges of timm."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scs_study.data.mixing import in_box

AREA = (0.02, 1 / 3)
"""The box's share of the image, and below its height by its width: torchvision's own end at 0.33 and at 3.3."""
ASPECT = (0.3, 1 / 0.3)
TRIES = 10
"""Boxes that are drawn for an image until one fits into it; where none does, it stays whole."""


def draw_boxes(share: float, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Return for each of `count` images what is erased of it, float32 (count, 4): left, top, right, bottom; zeros for
    nothing.

    share: of the images in which something is. size: height and width of what networks see.
    """
    height, width = size
    wanted = torch.rand(count, generator=generator) < share
    area, aspect, down, across = torch.rand(4, TRIES, count, dtype=torch.float64, generator=generator)
    area = height * width * (AREA[0] + (AREA[1] - AREA[0]) * area)
    aspect = (math.log(ASPECT[0]) + (math.log(ASPECT[1]) - math.log(ASPECT[0])) * aspect).exp()
    tall, wide = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (tall < height) & (wide < width)
    top, left = (down * (height - tall + 1)).floor(), (across * (width - wide + 1)).floor()
    first = fits.int().argmax(0)  # of equal ones the first
    boxes = torch.stack((left, top, left + wide, top + tall))[:, first, torch.arange(count)]
    return torch.where(wanted & fits.any(0), boxes, 0.0).T.float()


def colours(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every channel, float32 (C, 1, 1), of images, uint8 (N, H, W, C), as parts
    of 255.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    counts = [channel.flatten().bincount(minlength=256) for channel in images.unbind(3)]  # exact, in whatever order
    shares = torch.stack(counts).double() / counts[0].sum()
    mean = shares @ values
    deviation = (shares * (values - mean[:, None]).square()).sum(1).sqrt()
    return mean.float()[:, None, None], deviation.float()[:, None, None]


def erased(x: Tensor, boxes: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return images (B, C, H, W) whose boxes (B, 4) are normal noise, with a mean and a deviation for every channel.

    The noise is drawn from the process's generator on the images' device, which the engines seed for every step.
    """
    noise = torch.randn(x.shape, device=x.device) * deviation + mean
    return torch.where(in_box(x, *boxes.unbind(1)), noise, x)
