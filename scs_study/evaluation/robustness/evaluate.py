"""Which images fall to an attack, at which eps: the attack proposes, this room verifies and counts.

An image that falls at one eps falls at every larger one, since the smaller ball lies in the larger. So the radii are
tried from the smallest up, and each visits only what is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scs_study.evaluation.robustness.attacks import Method, Watched, adversarial, left_alone, seed_of

TOLERANCE = 1e-6
"""By how much an adversarial image may leave the eps ball: the rounding of float32 where images are near 1."""
NEVER = -1
"""In place of an index of eps: the image fell at none of them."""


def fooled(network: nn.Module, images: Tensor, labels: Tensor, adversaries: Tensor, eps: float) -> Tensor:
    """Whether each adversarial image is one, bool (B,): in the eps ball up to TOLERANCE, in [0, 1], and misclassified.

    What is not finite is none. `network` must be in eval mode; shapes as in `attacks.adversarial`.
    """
    distance = (adversaries - images).abs().flatten(1).amax(1)
    flat = adversaries.flatten(1)
    valid = (distance <= eps + TOLERANCE) & (flat.amin(1) >= 0) & (flat.amax(1) <= 1)  # false for NaN
    with torch.no_grad():
        predicted: Tensor = network(adversaries).argmax(1)
    return valid & (predicted != labels)


def falls(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    method: Method,
    eps: Sequence[float],
    visit: Tensor,
    seed: Sequence[object],
    source: nn.Module | None = None,
) -> Tensor:
    """For each image the index of the smallest of `eps` at which it fell, int64 (B,), NEVER where it did not.

    eps: increasing, above 0, in units of a pixel's whole range. visit: bool (len(eps), B), which images to attack at
    which eps; those that have fallen at a smaller one are left out anyway. seed: words that the randomness depends on.
    source: the network that the adversarial images are made for, if it is another one (a transfer attack).
    """
    assert visit.shape == (len(eps), len(images))
    assert list(eps) == sorted(set(eps))
    assert not eps or eps[0] > 0
    fell = torch.full((len(images),), NEVER, dtype=torch.int64, device=images.device)
    with left_alone(network):
        for index, radius in enumerate(eps):
            for attempt in range(method.restarts):
                left = (visit[index].to(images.device) & (fell == NEVER)).nonzero().flatten()
                if not len(left):
                    break
                x, y = images[left], labels[left]
                number = seed_of(*seed, f"{radius:.9g}", attempt)
                made = adversarial(network if source is None else source, x, y, method, radius, number)
                fell[left[fooled(network, x, y, made, radius)]] = index
    return fell


def curve(
    network: nn.Module, images: Tensor, labels: Tensor, method: Method, eps: Sequence[float], seed: int, batch: int
) -> Tensor:
    """For each image the index of the smallest of `eps` at which it fell, int64 (N,), NEVER where it did not.

    For any classifier of images in [0, 1]; eps must begin with 0, at which an image falls by being misclassified as it
    is. Accuracy at eps[k]: the share of images with (fell == NEVER) | (fell > k).
    """
    if not eps or eps[0] != 0:
        raise ValueError(f"eps={list(eps)}: must begin with 0")
    parts = []
    for first in range(0, len(images), batch):
        x, y = images[first : first + batch], labels[first : first + batch]
        with left_alone(network), torch.no_grad():
            right = network(x).argmax(1) == y
        fell = falls(network, x, y, method, eps[1:], right.expand(len(eps) - 1, -1), (seed, method.kind, first))
        fell = torch.where(fell == NEVER, NEVER, fell + 1)
        parts.append(torch.where(right, fell, 0))
    return torch.cat(parts)


def zero_gradients(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Whether the cross-entropy's gradient with respect to the image is exactly zero in every pixel, bool (B,).

    Where it is, no attack that follows gradients takes a step, and its failure says nothing.
    """
    watched = network if isinstance(network, Watched) else Watched(network, images.device)
    with left_alone(watched), torch.enable_grad():
        x = images.detach().clone().requires_grad_()
        # The sum, not the mean: dividing by the batch would push small gradients below what float32 can hold.
        loss = cross_entropy(watched(x), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
    return (gradient == 0).flatten(1).all(1)
