"""Deletion and insertion curves (Petsiuk et al. 2018): do a map's pixels matter to the class they speak of?

Deletion replaces the pixels with most saliency first, by the image's mean colour, and watches the class's probability
fall; insertion brings them into the blurred image and watches it rise. Networks differ in how confident they are and in
how any damage hurts them, so each curve has a control: the same image with its pixels in random order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from scs_study.evaluation.frozen import frozen, seed_of

BLUR = 5.0 / 32
"""Standard deviation of the blur, in shares of the image's width."""
CURVES = ("deletion", "insertion", "deletion_random", "insertion_random")


@dataclass(frozen=True)
class Perturbed:
    """The probability of each image's class at points + 1 shares of its pixels, 0 to 1: each (N, points + 1)."""

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    deletion_random: NDArray[np.float64]
    insertion_random: NDArray[np.float64]


@torch.no_grad()
def perturb(
    network: nn.Module,
    x: Tensor,
    classes: Tensor,
    maps: Tensor,
    points: int,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Perturbed:
    """Return the curves of a batch. x: (N, C, H, W); classes: int64 (N,); maps: (N, H, W), on x's device.

    numbers: what the random orders are drawn from, with `seed`, one number an image (its place in the batch unless
    given). Pixels of equal saliency are taken in that random order too, so an all-zero map has its control's curve.
    check: called before every point; it raises to stop.
    """
    assert points > 0
    with frozen(network):
        mean = x.mean((2, 3), keepdim=True).expand_as(x)
        soft = blurred(x)
        random = torch.stack([_order(maps[0].numel(), seed, n) for n in numbers or range(len(x))]).to(x.device)
        curves = {}
        for suffix, order in (("", _by_saliency(maps, random)), ("_random", random)):
            curves[f"deletion{suffix}"] = _curve(network, x, mean, classes, order, points, check)
            curves[f"insertion{suffix}"] = _curve(network, soft, x, classes, order, points, check)
    return Perturbed(**curves)


def area(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the areas under curves (..., points + 1) over shares from 0 to 1, by trapezoids: (...)."""
    return np.asarray((curves[..., 1:] + curves[..., :-1]).mean(-1) / 2)


def blurred(x: Tensor) -> Tensor:
    """Return the images (N, C, H, W), blurred by a Gaussian of BLUR of their width; edges are repeated."""
    width = max(BLUR * x.shape[-1], 0.5)
    reach = min(round(3 * width), x.shape[-1] - 1, x.shape[-2] - 1)
    at = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-((at / width) ** 2) / 2)
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
    wide = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(wide, kernel[:, :, None], groups=x.shape[1])
    return F.conv2d(rows, kernel[:, :, :, None], groups=x.shape[1])


def _curve(
    network: nn.Module,
    before: Tensor,
    after: Tensor,
    classes: Tensor,
    order: Tensor,
    points: int,
    check: Callable[[], None],
) -> NDArray[np.float64]:
    """Return the classes' probabilities while pixels go from `before` to `after` in `order`, (N, points + 1)."""
    pixels = order.shape[1]
    turn = torch.empty_like(order).scatter_(1, order, torch.arange(pixels, device=order.device).expand_as(order))
    turn = turn.view(len(before), 1, *before.shape[2:])
    curve = []
    for point in range(points + 1):
        check()
        mixed = torch.where(turn < round(point * pixels / points), after, before)
        chances = network(mixed).double().softmax(1)
        curve.append(chances.gather(1, classes[:, None])[:, 0].cpu())
    return torch.stack(curve, dim=1).numpy()


def _by_saliency(maps: Tensor, random: Tensor) -> Tensor:
    """Return the pixels of each map, most salient first, (N, pixels); equal ones in the random order."""
    shuffled = maps.flatten(1).gather(1, random)
    return random.gather(1, shuffled.argsort(dim=1, descending=True, stable=True))


def _order(pixels: int, seed: int, number: int) -> Tensor:
    return torch.randperm(pixels, generator=torch.Generator().manual_seed(seed_of("perturbation", seed, number)))
