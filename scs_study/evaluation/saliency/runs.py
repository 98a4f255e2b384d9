"""The saliency analysis of one finished run, in parts that are kept in its folder as soon as each is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scs_study.data import ImageSet
from scs_study.data.batches import to_inputs
from scs_study.evaluation.saliency.cache import Result, is_kept, kept
from scs_study.evaluation.saliency.maps import predicted, saliency_maps
from scs_study.evaluation.saliency.measures import MEASURES, Measures, measure
from scs_study.evaluation.saliency.perturbation import CURVES, Perturbed, perturb
from scs_study.evaluation.saliency.randomisation import Randomised, randomised
from scs_study.evaluation.saliency.settings import SaliencySettings
from scs_study.evaluation.trained import Trained

FORMAT = 1
"""Of what is kept; another number when its meaning changes, and everything is computed anew."""
CHUNK = 500
"""Images in a file: what an interrupted analysis loses at most."""
BATCH = 250
"""Images of 32x32 pixels in a batch; of larger ones as many as have the same number of pixels."""
Numbers = NDArray[np.int64]
Check = Callable[[], None]


@dataclass(frozen=True, eq=False)
class Analysed:
    """What an analysis knows of one run. Images are numbered as in the test set, (N,), in the analysis' order.

    right: bool (N,), whether the network's prediction is. perturbed and redrawn are of the first images of `numbers`,
    None where the settings leave them out.
    """

    numbers: Numbers
    measures: Measures
    right: NDArray[np.bool_]
    perturbed: Perturbed | None
    redrawn: Randomised | None


class Analyst:
    """Analyses one run: reads what is kept, computes the rest on `device`. check: called often; it raises to stop."""

    def __init__(
        self, run: Trained, images: ImageSet, settings: SaliencySettings, device: torch.device, check: Check
    ) -> None:
        self.run, self.images, self.settings, self.device, self.check = run, images, settings, device, check
        self.order = image_order(len(images.test_labels), settings.seed)[: settings.images]
        self.size = run.cell.data.size
        self.batch = max(1, BATCH * 32**2 // run.cell.data.pixels)
        self._network: nn.Module | None = None

    def analysed(self) -> Analysed:
        """The Analysed of the run. Errors: whatever `check` raises; what was done until then is kept."""
        results: dict[str, list[Result]] = {"measures": [], "curves": [], "redrawn": []}
        for name, facts, compute in self._parts():
            results[name].append(self._part(name, facts, compute))
        measured, curves = (_joined(results[name]) for name in ("measures", "curves"))
        redrawn = [
            Randomised(tuple(notes["layers"]), tensors["correlation"].numpy(), tensors["gini"].numpy())
            for tensors, notes in results["redrawn"]
        ]
        return Analysed(
            numbers=self.order,
            measures=Measures(measured["state"], **{name: measured[name] for name in MEASURES}),
            right=measured["right"],
            perturbed=Perturbed(**curves) if curves else None,
            redrawn=redrawn[0] if redrawn else None,
        )

    def left(self) -> int:
        """The number of parts that are not kept yet."""
        return sum(not is_kept(self.run.folder, name, facts) for name, facts, _ in self._parts())

    def maps(self, numbers: Sequence[int]) -> tuple[NDArray[np.float32], Numbers]:
        """The maps of test images for a figure, (N, H, W), and the classes predicted for them, (N,); kept, too."""
        facts = {**self._facts(), "images": list(numbers)}
        tensors, _ = self._part("maps", facts, lambda: self._maps(numbers))
        return tensors["maps"].numpy(), tensors["predicted"].numpy()

    def _parts(self) -> list[tuple[str, dict[str, Any], Callable[[], Result]]]:
        s = self.settings
        parts: list[tuple[str, dict[str, Any], Callable[[], Result]]] = []
        for first, last in _chunks(len(self.order)):
            facts = {**self._facts(), "top": s.top, "seed": s.seed, "first": first, "last": last}
            parts.append(("measures", facts, lambda chosen=self.order[first:last]: self._measures(chosen)))  # type: ignore[misc]
        for first, last in _chunks(min(s.perturbed, len(self.order))):
            facts = {**self._facts(), "points": s.points, "seed": s.seed, "first": first, "last": last}
            parts.append(("curves", facts, lambda chosen=self.order[first:last]: self._curves(chosen)))  # type: ignore[misc]
        if s.redrawn:
            facts = {**self._facts(), "seed": s.seed, "images": min(s.redrawn, len(self.order))}
            parts.append(("redrawn", facts, lambda: self._redrawn(self.order[: s.redrawn])))
        return parts

    def _facts(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "run": self.run.folder.name,
            "weights": self.run.weights,
            "data": self.images.digest,
            "maps": dataclasses.asdict(self.settings.maps),
        }

    def _part(self, name: str, facts: Mapping[str, Any], compute: Callable[[], Result]) -> Result:
        return kept(self.run.folder, name, facts, compute)

    def _measures(self, chosen: Numbers) -> Result:
        rows: list[dict[str, Tensor]] = []
        for numbers, x, labels in self._batches(chosen):
            found = measure(self._saliency(x, labels, numbers).cpu().numpy(), self.settings.top)
            right = (predicted(self.network, x) == labels).cpu()
            values = {name: torch.from_numpy(getattr(found, name)) for name in ("state", *MEASURES)}
            rows.append({**values, "right": right})
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}, {}

    def _curves(self, chosen: Numbers) -> Result:
        rows = []
        for numbers, x, labels in self._batches(chosen):
            classes = labels if self.settings.maps.target == "true" else predicted(self.network, x)
            maps = self._saliency(x, labels, numbers)
            s = self.settings
            rows.append(perturb(self.network, x, classes, maps, s.points, s.seed, numbers, self.check))
        return {name: torch.cat([torch.from_numpy(getattr(row, name)) for row in rows]) for name in CURVES}, {}

    def _redrawn(self, chosen: Numbers) -> Result:
        rows = []
        for _, x, labels in self._batches(chosen):
            rows.append(randomised(self.network, x, labels, self.settings.maps, self.settings.seed, self.check))
        together = torch.cat([torch.from_numpy(row.correlation) for row in rows], dim=1)
        gini = torch.cat([torch.from_numpy(row.gini) for row in rows])
        return {"correlation": together, "gini": gini}, {"layers": list(rows[0].layers)}

    def _maps(self, numbers: Sequence[int]) -> Result:
        maps, classes = [], []
        for batch, x, labels in self._batches(np.array(numbers, dtype=np.int64)):
            maps.append(self._saliency(x, labels, batch).cpu())
            classes.append(predicted(self.network, x).cpu())
        return {"maps": torch.cat(maps).contiguous(), "predicted": torch.cat(classes)}, {}

    def _saliency(self, x: Tensor, labels: Tensor, numbers: Sequence[int]) -> Tensor:
        return saliency_maps(self.network, x, labels, self.settings.maps, numbers)

    @property
    def network(self) -> nn.Module:
        """The run's network on the device, moved there when it is needed first."""
        if self._network is None:
            self._network = self.run.network.to(self.device)
        return self._network

    def _batches(self, chosen: Numbers) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        for first in range(0, len(chosen), self.batch):
            self.check()
            numbers = torch.from_numpy(chosen[first : first + self.batch])
            x = to_inputs(self.images.test_images[numbers].to(self.device), self.size)
            yield numbers.tolist(), x, self.images.test_labels[numbers].to(self.device)


def image_order(count: int, seed: int) -> Numbers:
    """The numbers 0 to count - 1 in the order that `seed` decides, int64: the first N are the same for every N."""
    order: Numbers = np.random.default_rng(seed).permutation(count).astype(np.int64)
    return order


def _chunks(count: int) -> list[tuple[int, int]]:
    return [(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]


def _joined(results: Sequence[Result]) -> dict[str, NDArray[Any]]:
    """The tensors of consecutive chunks, joined along their first dimension; {} without any."""
    return {
        name: torch.cat([tensors[name] for tensors, _ in results]).numpy()
        for name in (results[0][0] if results else ())
    }
