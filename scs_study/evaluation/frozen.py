"""How a trained network is looked at: frozen while it is, and with randomness that is nobody else's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Return a context in which the network is in eval mode and its parameters are constants; then it is as before.

    Gradients of the weights would cost as much again, and nobody reads them.
    """
    modes = [(module, module.training) for module in network.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        network.eval()
        for parameter, _ in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in wanted:
            parameter.requires_grad_(flag)


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Return a context in which the global generators start from `seed`; afterwards they are where they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        # Not torch.manual_seed(): it seeds devices that nobody asked for, now or when they are first used.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def seed_of(*words: object) -> int:
    """Return a seed that depends on all of `words` and on nothing else: the same in every process, on every machine."""
    digest = hashlib.sha256("|".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
