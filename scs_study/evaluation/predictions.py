"""What the networks of finished runs predict for every test image: computed once, cached in the run's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scs_study.data import ImageSet
from scs_study.data.batches import to_inputs
from scs_study.evaluation.cache import Result, load_result, store_result
from scs_study.evaluation.frozen import frozen
from scs_study.evaluation.parts import Part, evaluate
from scs_study.evaluation.robustness.classifier import Classifier
from scs_study.evaluation.trained import Trained, load_each
from scs_study.runs.context import RunContext
from scs_study.training.run_dir import FINAL_STATES

FORMAT = 1
"""Of what is cached; another number when its meaning changes."""
FOLDER, KIND = "predictions", "classes"
BATCH_PIXELS = 250 * 32**2
"""Pixels of a batch at most, of images larger than 32x32 as well."""


class Predictions:
    """The evaluation of one run on `device`. check: called between batches; it raises to stop."""

    def __init__(self, run: Trained, images: ImageSet, device: torch.device) -> None:
        self.run, self.images, self.device = run, images, device
        self.folder = run.folder / FOLDER
        self.check: Callable[[], None] = lambda: None

    def work(self) -> float:
        """Return the work of the only part: a pass of every test image."""
        return float(len(self.images.test_labels))

    def parts(self) -> Iterator[Part]:
        """Yield the only part."""
        yield Part(KIND, "predictions", self.work(), self._compute if self.classes() is None else None)

    def classes(self) -> NDArray[np.int64] | None:
        """Return the class predicted for every test image, -1 where outputs are not finite; None before that."""
        found = load_result(self.folder, KIND, self._key())
        return None if found is None else found[0]["classes"].numpy()

    def _key(self) -> Mapping[str, Any]:
        return {"format": FORMAT, "weights": self.run.weights, "data": self.images.digest}

    def _compute(self) -> str:
        store_result(self.folder, KIND, self._key(), self._predicted())
        return ""

    def _predicted(self) -> Result:
        network, size = Classifier(self.run).to(self.device), self.run.cell.data.size
        batch = max(1, BATCH_PIXELS // self.run.cell.data.pixels)
        rows = []
        with frozen(network), torch.no_grad():
            for first in range(0, len(self.images.test_labels), batch):
                self.check()
                images = self.images.test_images[first : first + batch].to(self.device)
                logits = network(to_inputs(images, size))
                rows.append(torch.where(logits.isfinite().all(1), logits.argmax(1), -1).cpu())
        return {"classes": torch.cat(rows)}, {}


def predictions(rows: Sequence[Mapping[str, Any]], context: RunContext) -> tuple[dict[str, Predictions], list[str]]:
    """Return the evaluations of the finished runs among `rows` by run name, and a message for each that is unreadable.

    rows: of a collected frame, missing values None.
    """
    networks, problems = load_each(context.runs, (row for row in rows if row["state"] in FINAL_STATES))
    device = context.settings.device
    return {each.folder.name: Predictions(each, context.images(each.cell.data), device) for each in networks}, problems


def evaluate_predictions(rows: Sequence[Mapping[str, Any]], context: RunContext) -> list[str]:
    """Compute what is missing of the predictions of finished runs; return a message for each that has a problem."""
    found, problems = predictions(rows, context)
    return problems + evaluate("predictions", found)
