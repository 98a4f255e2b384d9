"""The classifier in whose features samples are compared: a run of its own, on the images of the run that it judges."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scs_study.config.schema import CellConfig
from scs_study.data.batches import resized
from scs_study.evaluation.fidelity.settings import Fidelity
from scs_study.evaluation.frozen import frozen
from scs_study.evaluation.trained import Trained, load_trained
from scs_study.experiments.compose import compose_cell
from scs_study.models import check_cell
from scs_study.models.architectures import architecture
from scs_study.models.outside import adopt
from scs_study.runs.context import RunContext
from scs_study.runs.run_one import run_cell
from scs_study.training.stopping import StopRequest


def classifier_cell(judged: CellConfig, settings: Fidelity) -> CellConfig:
    """Return the cell of the classifier for an adversarial cell: its data, in the size that the classifier takes.

    Raises ValueError in one sentence for a classifier that cannot be built.
    """
    groups = ("arch", "layer", "activation", "pooling", "norm")
    choices = {group: str(getattr(settings, group)) for group in groups}
    plain = compose_cell({**choices, "train": "paper"}, {"train.epochs": settings.epochs}, settings.seed)
    adopt(plain)
    sizes = architecture(plain.arch).image_sizes
    data = dataclasses.replace(judged.data, image_size=sizes[0] if sizes else judged.data.image_size)
    cell = dataclasses.replace(plain, data=data)
    check_cell(cell)
    return cell


def train_classifier(cell: CellConfig, context: RunContext) -> None:
    """Compute the classifier's run, unless it is there.

    Raises:
        ValueError: it failed, or did not learn.
        Interrupted: after a signal; it goes on from there the next time.
    """
    with StopRequest().listening() as stop:
        outcome = run_cell(cell, context, stop)
    if outcome.state != "done":
        raise ValueError(f"{cell.run_name}, whose features were to be compared, is {outcome.state}: {outcome.message}")


class Features:
    """What goes into the last linear layer of a trained classifier, for images in [0, 1] of any size."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._trained: Trained = load_trained(folder)
        linear = [module for module in self._trained.network.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise ValueError(f"{folder.name} has no linear layer whose inputs could be compared")
        self._seen: list[Tensor] = []
        linear[-1].register_forward_pre_hook(lambda module, given: self._seen.append(given[0].flatten(1)))
        self._network = self._trained.network.to(device)
        self.weights = self._trained.weights

    @torch.no_grad()
    def of(self, batches: Iterable[Tensor]) -> NDArray[np.float64]:
        """Return the features (N, D) of batches of images (B, C, H, W), in float64."""
        found = []
        with frozen(self._network):
            for images in batches:
                self._seen.clear()
                self._network(resized(images, self._trained.cell.data.size))
                found.append(self._seen[-1].double().cpu())
        return torch.cat(found).numpy()
