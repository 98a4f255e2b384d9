"""Kernels of trained networks that say the same to every image: counted on test images, layer by layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scs_study.data import ImageSet
from scs_study.data.batches import to_inputs
from scs_study.evaluation.cache import append_record, cache_path, read_records, resume_records
from scs_study.evaluation.frozen import frozen
from scs_study.evaluation.parts import Part, evaluate
from scs_study.evaluation.trained import Trained, load_each
from scs_study.models.variant import layer_paths
from scs_study.runs.context import RunContext
from scs_study.system.files import read_lines
from scs_study.system.tensors import checksum, load_tensors
from scs_study.training.run_dir import FINAL_STATES, WEIGHTS

Counts = dict[str, tuple[int, int]]
"""Of each layer, by its module path: dead kernels, and all."""
FORMAT = 1
"""Of what is cached; another number when its meaning changes."""
FOLDER, KIND = "kernels", "dead"
IMAGES = 256
"""Test images that it is measured on."""
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

    def counts(self) -> Counts | None:
        """Return for each layer, by its module path, its dead kernels and all its kernels; None before."""
        found = read_records(self._file, self._key(), _parsed)
        return found[0] if found else None

    @property
    def _file(self) -> Path:
        return cache_path(self.folder, KIND, self._key(), ".jsonl")

    def _key(self) -> Mapping[str, Any]:
        key = {"format": FORMAT, "weights": self.run.weights, "data": self.images.digest, "images": IMAGES}
        return {**key, "silent": SILENT}

    def _compute(self) -> str:
        cell = self.run.cell
        chosen = self.images.spaced_test_images(IMAGES)
        found = dead_kernels(self.run.network, to_inputs(chosen, cell.data.size), rectified=cell.activation == "relu")
        resume_records(self._file, self._key(), _parsed)
        append_record(self._file, self._key(), found, found, _parsed)
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


def dead_counts(folder: Path) -> Counts | None:
    """Return what has been counted on a run, from its folder or its records; None where that is nothing, or nothing
    that can be told to be of the weights that are there.
    """
    files = sorted((folder / FOLDER).glob(f"{KIND}-*.jsonl"))
    lines = [read_lines(file) for file in files]
    with contextlib.suppress(FileNotFoundError):
        weights = checksum(load_tensors(folder / WEIGHTS)[0])
        lines = [each for each in lines if each and each[0].get("weights") == weights]
    return _parsed(lines[0][1]) if len(lines) == 1 and len(lines[0]) == 2 else None


def evaluate_dead_kernels(rows: Sequence[Mapping[str, Any]], context: RunContext) -> list[str]:
    """Count what is not counted yet; return a message for each run that has a problem."""
    networks, problems = load_each(context.runs, (row for row in rows if row["state"] in FINAL_STATES))
    evaluations = {each.folder.name: DeadKernels(each, context.images(each.cell.data)) for each in networks}
    return [*problems, *evaluate("kernels", evaluations)]


def _parsed(line: dict[str, Any]) -> Counts:
    return {str(path): (int(dead), int(kernels)) for path, (dead, kernels) in line.items()}
