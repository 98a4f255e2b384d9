"""Kernels of trained networks that say the same to every image: counted on test images, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scs_study.data import ImageSet
from scs_study.data.batches import to_inputs
from scs_study.evaluation.cache import load_result, store_result
from scs_study.evaluation.frozen import frozen
from scs_study.evaluation.parts import Part, evaluate
from scs_study.evaluation.trained import Trained, load_each
from scs_study.models.variant import layer_paths
from scs_study.runs.context import RunContext
from scs_study.training.run_dir import FINAL_STATES

FORMAT = 1
"""Of what is cached; another number when its meaning changes."""
FOLDER, KIND = "kernels", "dead"
IMAGES = 256
"""Test images that it is measured on, taken at equal distances: a test set is sorted by classes."""
SILENT = 1e-3
"""A kernel is dead whose outputs vary by no more than this share of what the median kernel's of its layer do."""


class DeadKernels:
    """The evaluation of one run, on the CPU. check: called before the part; it raises to stop."""

    def __init__(self, run: Trained, images: ImageSet) -> None:
        self.run, self.images = run, images
        self.folder = run.folder / FOLDER
        self.check: Callable[[], None] = lambda: None

    def work(self) -> float:
        """Return the work of the only part: a pass of its images."""
        return float(min(IMAGES, len(self.images.test_labels)))

    def parts(self) -> Iterator[Part]:
        """Yield the only part."""
        yield Part(KIND, "dead kernels", self.work(), self._compute if self.counts() is None else None)

    def counts(self) -> Mapping[str, tuple[int, int]] | None:
        """Return for each layer, by its module path, its dead kernels and all its kernels; None before."""
        found = load_result(self.folder, KIND, self._key())
        return None if found is None else {path: (int(n[0]), int(n[1])) for path, n in found[0].items()}

    def _key(self) -> Mapping[str, Any]:
        key = {"format": FORMAT, "weights": self.run.weights, "data": self.images.digest, "images": IMAGES}
        return {**key, "silent": SILENT}

    def _compute(self) -> str:
        cell = self.run.cell
        chosen = self.images.test_images[:: max(1, len(self.images.test_labels) // IMAGES)][:IMAGES]
        found = dead_kernels(self.run.network, to_inputs(chosen, cell.data.size), rectified=cell.activation == "relu")
        tensors = {path: torch.tensor(counts) for path, counts in found.items()}
        store_result(self.folder, KIND, self._key(), (tensors, {}))
        return ", ".join(f"{dead} of {all_} in {path}" for path, (dead, all_) in found.items())


def dead_kernels(network: nn.Module, x: Tensor, rectified: bool) -> dict[str, tuple[int, int]]:
    """Return the dead kernels and all kernels of each layer, by its module path, at images x (N, C, H, W).

    rectified: whether a ReLU follows: what is below 0 is then the same to the network. Outputs that are not finite
    say nothing either.
    """
    found: dict[str, tuple[int, int]] = {}

    def listen(path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, inputs: Any, y: Tensor) -> None:
            y = y.detach().double()
            deviation = (y.clamp_min(0.0) if rectified else y).transpose(0, 1).flatten(1).std(dim=1)
            deviation = torch.where(deviation.isfinite(), deviation, 0.0)
            found[path] = (int((deviation <= SILENT * deviation.median()).sum()), len(deviation))

        return hook

    modules = dict(network.named_modules())
    hooks = [modules[path].register_forward_hook(listen(path)) for path in layer_paths(network)]
    try:
        with frozen(network), torch.no_grad():
            network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def dead_counts(rows: Sequence[Mapping[str, Any]], context: RunContext) -> dict[str, DeadKernels]:
    """Return the evaluations of the finished runs among `rows` that can be read, by run name."""
    networks, _ = load_each(context.runs, (row for row in rows if row["state"] in FINAL_STATES))
    return {each.folder.name: DeadKernels(each, context.images(each.cell.data)) for each in networks}


def evaluate_dead_kernels(rows: Sequence[Mapping[str, Any]], context: RunContext) -> list[str]:
    """Count what is not counted yet; return a message for each run that has a problem."""
    _, problems = load_each(context.runs, (row for row in rows if row["state"] in FINAL_STATES))
    return [*problems, *evaluate("kernels", dead_counts(rows, context))]
