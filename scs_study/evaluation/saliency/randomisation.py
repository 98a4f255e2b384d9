"""The model-randomisation check (Adebayo et al. 2018): a map that stays when the weights go says nothing of them.

Layers are randomised one after the other, from the head down, each on top of the ones before; after each the maps are
compared with those of the trained network by the rank correlation of their pixels. Two controls come with it. A
correlation above 0 need not mean that a map ignores the weights: pixels at the border reach fewer kernels, whatever
those are. And a map of weights that learnt nothing has a Gini index, too: what the architecture alone makes sparse.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scs_study.evaluation.frozen import own_randomness, seed_of
from scs_study.evaluation.saliency.maps import predicted, saliency_maps
from scs_study.evaluation.saliency.measures import measure, spearman
from scs_study.evaluation.saliency.settings import MapSettings


@dataclass(frozen=True)
class Randomised:
    """layers: the module paths, from the head down. correlation: (layers, N), after each of them was randomised.

    NaN where the map before or after has no order (all zero). gini: (N,), the Gini index of the maps when all layers
    were randomised, NaN where they are all zero.
    """

    layers: tuple[str, ...]
    correlation: NDArray[np.float64]
    gini: NDArray[np.float64]


def randomised(
    network: nn.Module,
    x: Tensor,
    labels: Tensor,
    settings: MapSettings,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Randomised:
    """Return the check of a network on a batch; the network itself stays as it is, and so does the global generator.

    The class is the one that the trained network predicts (or the true one) throughout. check: called before each
    layer; it raises to stop.
    """
    fixed = labels if settings.target == "true" else predicted(network, x)
    same = dataclasses.replace(settings, target="true")
    before = saliency_maps(network, x, fixed, same).cpu().numpy()
    changed = copy.deepcopy(network)
    layers = layers_with_weights(changed)
    if not layers:
        raise ValueError("the network has no weights that could be randomised")
    rows = []
    for path in layers:
        check()
        randomise_weights(changed, path, seed)
        after = saliency_maps(changed, x, fixed, same).cpu().numpy()
        rows.append(spearman(before, after))
    return Randomised(tuple(layers), np.stack(rows), measure(after).gini)


def layers_with_weights(network: nn.Module) -> list[str]:
    """Return the paths of the modules that have parameters of their own, the last one of the network first."""
    return [
        path
        for path, module in reversed(list(network.named_modules()))
        if any(True for _ in module.parameters(recurse=False))
    ]


def randomise_weights(network: nn.Module, path: str, seed: int) -> None:
    """Give the module at `path` new weights: its own law's, or, without one, its old values in random places.

    They depend on `seed` and `path` alone (and on the law), not on torch's generators, which are left as they were.
    """
    module = network.get_submodule(path)
    place = next(module.parameters(recurse=False)).device
    with own_randomness(seed_of("randomisation", seed, path), torch.device("cpu")), torch.no_grad():
        module.cpu()  # a CUDA device would draw other numbers, from a generator of its own
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
        else:
            for parameter in module.parameters(recurse=False):
                mixed = parameter.flatten()[torch.randperm(parameter.numel())]
                parameter.copy_(mixed.view_as(parameter))
        module.to(place)
