"""How large a part attention has in the transformers of finished runs: at their start, and as they were trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from scs_study.data import ImageSet
from scs_study.data.batches import to_inputs
from scs_study.evaluation.cache import load_result, store_result
from scs_study.evaluation.frozen import frozen
from scs_study.evaluation.parts import Part, evaluate
from scs_study.evaluation.trained import Trained, load_each
from scs_study.models import build_variant, initial_weights
from scs_study.models.cct import branch_sizes
from scs_study.runs.context import RunContext
from scs_study.runs.state import INITIAL
from scs_study.training.run_dir import FINAL_STATES

FORMAT = 1
"""Of what is cached; another number when its meaning changes."""
FOLDER, KIND = "attention", "branch"
IMAGES = 256
"""Test images that it is measured on."""


class BranchSizes:
    """The evaluation of one run, on the CPU. check: called before the part; it raises to stop."""

    def __init__(self, run: Trained, images: ImageSet) -> None:
        self.run, self.images = run, images
        self.folder = run.folder / FOLDER
        self.check: Callable[[], None] = lambda: None

    def work(self) -> float:
        """Return the work of the only part: two passes of its images."""
        return 2.0 * min(IMAGES, len(self.images.test_labels))

    def parts(self) -> Iterator[Part]:
        """Yield the only part."""
        yield Part(KIND, "size of attention", self.work(), self._compute if self.sizes() is None else None)

    def sizes(self) -> Mapping[str, torch.Tensor] | None:
        """Return for "start" and "end" (layers, 2): deviations of attention's part and of the tokens; None before."""
        found = load_result(self.folder, KIND, self._key())
        return None if found is None else found[0]

    def _key(self) -> Mapping[str, Any]:
        return {"format": FORMAT, "weights": self.run.weights, "data": self.images.digest, "images": IMAGES}

    def _compute(self) -> str:
        cell = self.run.cell
        shared = initial_weights(cell.arch, cell.seed, cell.init, self.run.folder.parent / INITIAL, ends=cell.data.ends)
        chosen = self.images.spaced_test_images(IMAGES)
        x = to_inputs(chosen, cell.data.size)
        tensors = {}
        for name, network in (("start", build_variant(cell, shared.tensors)), ("end", self.run.network)):
            with frozen(network):
                tensors[name] = torch.tensor(branch_sizes(network, x), dtype=torch.float64)
        store_result(self.folder, KIND, self._key(), (tensors, {}))
        return f"{float(tensors['end'][0, 0]):.2g} of {float(tensors['end'][0, 1]):.2g} in the first layer"


def branches(rows: Sequence[Mapping[str, Any]], context: RunContext) -> dict[str, BranchSizes]:
    """Return the evaluations of the finished runs among `rows` that can be read, by run name."""
    # What cannot be read evaluate_predictions says.
    networks, _ = load_each(context.runs, (row for row in rows if row["state"] in FINAL_STATES))
    return {each.folder.name: BranchSizes(each, context.images(each.cell.data)) for each in networks}


def evaluate_branches(rows: Sequence[Mapping[str, Any]], context: RunContext) -> list[str]:
    """Compute what is missing of the sizes; return a message for each run that has a problem."""
    return evaluate("attention", branches(rows, context))
