"""Saliency maps of any classifier of images: what each pixel does to a class's logit or loss.

A map is the largest absolute value over an image's channels (Simonyan et al. 2014, systems.md 7). The network may be
anybody's: a module that takes (N, C, H, W) and gives (N, classes). It is left as it was, and torch's global generators
are not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scs_study.evaluation.frozen import frozen, seed_of
from scs_study.evaluation.saliency.settings import MapSettings

Output = Callable[[Tensor, Tensor], Tensor]
"""From images (N, C, H, W) and classes (N,) to one number an image, (N,)."""


def saliency_maps(
    network: nn.Module, x: Tensor, labels: Tensor, settings: MapSettings, numbers: Sequence[int] | None = None
) -> Tensor:
    """Return the maps of a batch, (N, H, W), not negative, of x's type and device; all zero where nothing matters.

    x: (N, C, H, W) as the network takes it. labels: the true classes, int64 (N,); used where settings.target is "true".
    numbers: what SmoothGrad's noise is drawn from, one number an image (its place in the batch unless given), so an
    image has the same noise in any batch. Values that are not finite stay in the map: the caller counts them.
    """
    assert x.ndim == 4
    assert len(x) == len(labels)
    with frozen(network):
        classes = predicted(network, x) if settings.target == "predicted" else labels
        given = attributions(_output(network, settings.output), x, classes, settings, numbers)
    return given.abs().amax(dim=1)


def predicted(network: nn.Module, x: Tensor) -> Tensor:
    """Return the classes that the network predicts for x, int64 (N,)."""
    with frozen(network), torch.no_grad():
        classes: Tensor = network(x).argmax(1)
    return classes


def attributions(
    output: Output, x: Tensor, classes: Tensor, settings: MapSettings, numbers: Sequence[int] | None = None
) -> Tensor:
    """Return the signed attributions of a batch, (N, C, H, W), by captum."""
    # Imported here: captum takes seconds, and every command that may be followed by an analysis would pay for it.
    from captum.attr import IntegratedGradients, Saliency

    if settings.method == "integrated_gradients":
        given: Tensor = IntegratedGradients(output).attribute(
            _leaf(x), torch.zeros_like(x), additional_forward_args=classes, n_steps=settings.steps,
            internal_batch_size=len(x),
        )  # fmt: skip
        return given.detach().to(x.dtype)

    def gradient(at: Tensor) -> Tensor:
        slope: Tensor = Saliency(output).attribute(_leaf(at), abs=False, additional_forward_args=classes)
        return slope.detach()

    if settings.method == "gradient":
        return gradient(x)
    assert settings.samples is not None
    assert settings.noise is not None
    # Not captum's NoiseTunnel: it draws from the global generator, and an image's noise would depend on its batch.
    flat = x.flatten(1)
    spread = settings.noise * (flat.amax(1) - flat.amin(1))
    total = torch.zeros_like(x)
    for sample in range(settings.samples):
        noise = torch.stack([_noise(x[0], number, sample) for number in numbers or range(len(x))]).to(x)
        total += gradient(x + spread[:, None, None, None] * noise)
    return total / settings.samples


def _output(network: nn.Module, kind: str) -> Output:
    def output(x: Tensor, classes: Tensor) -> Tensor:
        scores: Tensor = network(x)
        if kind == "loss":
            return cross_entropy(scores, classes, reduction="none")
        return scores.gather(1, classes[:, None])[:, 0]

    return output


def _leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()


def _noise(like: Tensor, number: int, sample: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed_of("smoothgrad", number, sample))
    return torch.randn(like.shape, generator=draw, dtype=torch.float32)


def describe(settings: MapSettings) -> str:
    """Return the maps in words, for a head or a caption."""
    kinds: dict[str, Any] = {
        "gradient": "vanilla gradient",
        "integrated_gradients": f"integrated gradients ({settings.steps} steps from black)",
        "smoothgrad": f"SmoothGrad ({settings.samples} samples, noise {settings.noise})",
    }
    return f"{kinds[settings.method]} of the {settings.target} class's {settings.output}"
