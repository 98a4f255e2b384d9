"""The first successful eps of an attack on each image: the attack proposes, this module verifies and counts.

An image that an attack fools at one eps is fooled at every larger one, since the smaller ball lies in the larger. So
the radii are tried from the smallest up, each on the survivors alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scs_study.evaluation.frozen import frozen, seed_of
from scs_study.evaluation.robustness.attacks import Method, Watched, adversarial

TOLERANCE = 1e-6
"""By how much an adversarial image may leave the eps ball: the rounding of float32 where images are near 1."""
NEVER = -1
"""In place of an index of eps: the attack succeeded at none of them."""


def fooled(network: nn.Module, images: Tensor, labels: Tensor, adversaries: Tensor, eps: float) -> Tensor:
    """Return whether each adversarial image is one, bool (B,): in the eps ball up to TOLERANCE, in [0, 1], and
    misclassified.

    What is not finite is none. `network` must be in eval mode; shapes as in `attacks.adversarial`.
    """
    distance = (adversaries - images).abs().flatten(1).amax(1)
    flat = adversaries.flatten(1)
    valid = (distance <= eps + TOLERANCE) & (flat.amin(1) >= 0) & (flat.amax(1) <= 1)  # false for NaN
    with torch.no_grad():
        predicted: Tensor = network(adversaries).argmax(1)
    return valid & (predicted != labels)


def evaluate_attack(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    method: Method,
    eps: Sequence[float],
    mask: Tensor,
    seed: Sequence[object],
    source: nn.Module | None = None,
) -> Tensor:
    """Return for each image the index of the smallest of `eps` at which the attack succeeds, int64 (B,), or NEVER.

    eps: increasing, above 0, in units of a pixel's whole range. mask: bool (len(eps), B), which images to attack at
    which eps; those that were fooled at a smaller one are left out anyway. seed: words that the randomness depends on.
    source: the network that the adversarial images are made for, if it is another one (a transfer attack).
    """
    assert mask.shape == (len(eps), len(images))
    assert list(eps) == sorted(set(eps))
    assert not eps or eps[0] > 0
    first_eps = torch.full((len(images),), NEVER, dtype=torch.int64, device=images.device)
    with frozen(network):
        for index, radius in enumerate(eps):
            for attempt in range(method.restarts):
                survivors = (mask[index].to(images.device) & (first_eps == NEVER)).nonzero().flatten()
                if not len(survivors):
                    break
                x, y = images[survivors], labels[survivors]
                number = seed_of(*seed, f"{radius:.9g}", attempt)
                made = adversarial(network if source is None else source, x, y, method, radius, number)
                first_eps[survivors[fooled(network, x, y, made, radius)]] = index
    return first_eps


def curve(
    network: nn.Module, images: Tensor, labels: Tensor, method: Method, eps: Sequence[float], seed: int, batch: int
) -> Tensor:
    """Return for each image the index of the smallest of `eps` at which it is misclassified, int64 (N,), or NEVER.

    For any classifier of images in [0, 1]; eps must begin with 0, the images as they are. Accuracy at eps[k]: the share
    of images with (first_eps == NEVER) | (first_eps > k), where first_eps is what is returned.
    """
    if not eps or eps[0] != 0:
        raise ValueError(f"eps={list(eps)}: must begin with 0")
    parts = []
    for first in range(0, len(images), batch):
        x, y = images[first : first + batch], labels[first : first + batch]
        with frozen(network), torch.no_grad():
            right = network(x).argmax(1) == y
        mask, words = right.expand(len(eps) - 1, -1), (seed, method.kind, first)
        first_eps = evaluate_attack(network, x, y, method, eps[1:], mask, words)
        first_eps = torch.where(first_eps == NEVER, NEVER, first_eps + 1)
        parts.append(torch.where(right, first_eps, 0))
    return torch.cat(parts)


def zero_gradients(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return whether the cross-entropy's gradient with respect to the image is exactly zero in every pixel, bool (B,).

    Where it is, no attack that follows gradients takes a step, and its failure says nothing.
    """
    watched = network if isinstance(network, Watched) else Watched(network, images.device)
    with frozen(watched), torch.enable_grad():
        x = images.detach().clone().requires_grad_()
        # The sum, not the mean: dividing by the batch would push small gradients below what float32 can hold.
        loss = cross_entropy(watched(x), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
    return (gradient == 0).flatten(1).all(1)
