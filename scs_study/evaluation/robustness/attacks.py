"""L-infinity attacks on any classifier of images in [0, 1], by torchattacks, kept away from the rest of the process.

What torchattacks 3.5.1 does that nobody would expect, and what is done about it here: it draws from the global
generators and seeds them anew (they are put back), takes a network's first parameter for its device and fails without
one (`Watched` has one), puts whole networks into training mode when it is done (every module gets its own mode back),
writes into the logits a network returns (it gets a copy), and attacks images that are wrong already (nobody hands it
any).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scs_study.evaluation.frozen import frozen, own_randomness

KINDS = ("pgd", "apgd_ce", "apgd_dlr", "apgd_t", "square")
GRADIENT_FREE = ("square",)
MOST_TARGETS = 9
"""Classes that APGD-T aims at, the likeliest first, as AutoAttack does."""
LEAST_CLASSES = {"apgd_dlr": 3, "apgd_t": 4}
"""What the losses of these attacks compare are the largest logits, so many of them."""

CPU_CHUNK = 100
"""Images that go through a network at once on a CPU, whose allocator and caches make more of them 1.4 times as slow. An
attack's batch may be larger: what an image's logits are does not depend on its neighbours."""


@dataclass(frozen=True)
class Method:
    """How to attack. kind: one of KINDS.

    steps: gradient steps (of APGD-T: for each target class), or queries of the gradient-free Square. restarts: how
    often it is tried. step_size: PGD's, in units of eps / steps; APGD chooses its own. random_start: whether PGD starts
    at a uniformly random point of the ball.
    """

    kind: str
    steps: int
    restarts: int = 1
    step_size: float = 2.5
    random_start: bool = True

    def __post_init__(self) -> None:
        assert self.kind in KINDS
        assert self.steps > 0
        assert self.restarts > 0

    @property
    def cost(self) -> float:
        """Evaluations of an image's gradient, or of as many forward passes, that one attack of it takes at most."""
        if self.kind == "square":
            return self.restarts * self.steps / 3
        return float(self.restarts * self.steps * (MOST_TARGETS if self.kind == "apgd_t" else 1))


class Watched(nn.Module):
    """A network under attack: the same logits, and a count of the images it was asked about.

    gradients: images that were classified in order to differentiate; forwards: the others. check: called before every
    pass; what it raises ends the attack.
    """

    def __init__(self, network: nn.Module, device: torch.device, check: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(0, device=device), requires_grad=False)
        self.network = network
        self.check = check
        self.gradients = 0
        self.forwards = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, (B, classes)."""
        self.check()
        differentiated = torch.is_grad_enabled() and x.requires_grad
        if differentiated:
            self.gradients += len(x)
        else:
            self.forwards += len(x)
        parts = torch.split(x, CPU_CHUNK) if x.device.type == "cpu" and len(x) > CPU_CHUNK else (x,)
        logits = torch.cat([self.network(part) for part in parts])
        if differentiated and not logits.requires_grad:
            # Nothing the network computes can be differentiated (a threshold): that is a gradient of zero.
            logits = logits + 0.0 * x.flatten(1).sum(1, keepdim=True)
        return logits


def adversarial(network: nn.Module, images: Tensor, labels: Tensor, method: Method, eps: float, seed: int) -> Tensor:
    """Return what one attempt of the attack makes of the images: (B, C, H, W). It is a claim; `evaluate.fooled`
    verifies it.

    images: (B, C, H, W) in [0, 1] on the network's device. labels: int64 (B,), the true classes. eps: radius of the
    ball in the largest absolute difference. seed: of all randomness; the global generators, the network's modes and its
    parameters' gradients are as before afterwards.
    Raises ValueError for images outside [0, 1] or of another shape, and for too few classes for APGD-DLR or APGD-T.
    """
    if images.ndim != 4 or len(images) != len(labels):
        raise ValueError(f"images of shape {tuple(images.shape)}: an attack takes (B, C, H, W) and B labels")
    if len(images) and not bool(((images >= 0) & (images <= 1)).all()):
        raise ValueError("an attack takes images in [0, 1]; put a normalisation inside the network")
    if not len(images):
        return images.clone()
    watched = network if isinstance(network, Watched) else Watched(network, images.device)
    with frozen(watched), own_randomness(seed, images.device):
        return _attack(watched, images, labels, method, eps)(images, labels).detach()  # type: ignore[no-any-return]


def _attack(network: Watched, images: Tensor, labels: Tensor, method: Method, eps: float) -> Any:
    torchattacks = _library()
    start = int(torch.randint(2**31, (), dtype=torch.int64))  # its attacks take a seed of their own
    if method.kind == "pgd":
        step = method.step_size * eps / method.steps
        return torchattacks.PGD(network, eps=eps, alpha=step, steps=method.steps, random_start=method.random_start)
    if method.kind == "apgd_ce":
        return torchattacks.APGD(network, norm="Linf", eps=eps, steps=method.steps, loss="ce", seed=start)
    if method.kind == "square":
        return torchattacks.Square(network, norm="Linf", eps=eps, n_queries=method.steps, seed=start)
    with torch.no_grad():
        classes = network(images[:1]).shape[1]
    least, words = LEAST_CLASSES[method.kind], {"apgd_dlr": "APGD-DLR", "apgd_t": "APGD-T"}[method.kind]
    if classes < least:
        raise ValueError(f"{words} needs at least {least} classes, and the network has {classes}")
    if method.kind == "apgd_dlr":
        return torchattacks.APGD(network, norm="Linf", eps=eps, steps=method.steps, loss="dlr", seed=start)
    targets = min(classes - 1, MOST_TARGETS)
    return torchattacks.APGDT(network, norm="Linf", eps=eps, steps=method.steps, seed=start, n_classes=targets + 1)


def _library() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its imports
            import torchattacks
    except ImportError as error:
        raise ValueError(
            f"robustness needs torchattacks (the extra `attacks`), which is not installed: {error}"
        ) from None
    return torchattacks
