"""The saliency evaluation of one finished run, in parts that are cached in its folder as soon as each is done."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from scs_study.data import ImageSet
from scs_study.data.batches import to_inputs
from scs_study.evaluation.cache import Result, load_result, store_result
from scs_study.evaluation.parts import Part
from scs_study.evaluation.saliency.maps import predicted, saliency_maps
from scs_study.evaluation.saliency.measures import MEASURES, Measures, measure
from scs_study.evaluation.saliency.perturbation import CURVES, Perturbed, perturb
from scs_study.evaluation.saliency.randomisation import Randomised, randomised
from scs_study.evaluation.saliency.settings import SaliencySettings
from scs_study.evaluation.trained import Trained

FORMAT = 1
"""Of what is cached; another number when its meaning changes, and everything is computed anew."""
FOLDER = "saliency"
"""In the run's folder."""
COMPACT = 32
"""Pixels that a map which is cached to be compared has at most, in width and height."""
PASSES = 3
"""Passes through a network that a gradient costs."""
CHUNK = 500
"""Images in a file: what an interrupted evaluation loses at most."""
BATCH = 250
"""Images of 32x32 pixels in a batch; of larger ones as many as have the same number of pixels."""
Numbers = NDArray[np.int64]
Check = Callable[[], None]


@dataclass(frozen=True)
class _Part:
    """A part before it is known whether it is cached. kind: also the beginning of its file's name."""

    kind: str
    title: str
    work: float
    key: Mapping[str, Any]
    compute: Callable[[], Result]


@dataclass(frozen=True, eq=False)
class SaliencyData:
    """What is known of the maps of one run. Images are numbered as in the test set, (N,), in the evaluation's order.

    right: bool (N,), whether the network's prediction is. perturbed and randomised are of the first images of
    `numbers`, None where the settings leave them out. maps: the compact maps of the first images of `numbers`, (M, H,
    W), at most COMPACT pixels wide and high, each with 1 as its largest value; None where the settings leave them out.
    """

    numbers: Numbers
    measures: Measures
    right: NDArray[np.bool_]
    perturbed: Perturbed | None
    randomised: Randomised | None
    maps: NDArray[np.float16] | None = None


class SaliencyEvaluator:
    """Evaluates one run on `device`. check: called often; it raises to stop."""

    def __init__(
        self,
        run: Trained,
        images: ImageSet,
        settings: SaliencySettings,
        device: torch.device,
        check: Check = lambda: None,
    ) -> None:
        self.run, self.images, self.settings, self.device, self.check = run, images, settings, device, check
        self.folder = run.folder / FOLDER
        self.order = image_order(len(images.test_labels), settings.seed)[: settings.images]
        self.size = run.cell.data.size
        self.batch = max(1, BATCH * 32**2 // run.cell.data.pixels)
        self._network: nn.Module | None = None
        self._compact: dict[tuple[int, ...], Tensor] = {}

    def work(self) -> float:
        """Return the passes of one image through the network that all parts take, roughly."""
        return sum(part.work for part in self._parts())

    def parts(self) -> Iterator[Part]:
        """Yield the parts, those of the figure's images excepted (`figure_maps`)."""
        for part in self._parts():
            cached = load_result(self.folder, part.kind, part.key) is not None
            compute = None if cached else functools.partial(self._store, part)
            yield Part(part.kind, part.title, part.work, compute)

    def data(self) -> SaliencyData | None:
        """Return the SaliencyData of the run, None while a part of it is missing."""
        kinds = ("measures", "curves", "redrawn", "compact")  # as the files of all versions are named
        results: dict[str, list[Result]] = {kind: [] for kind in kinds}
        for part in self._parts():
            found = load_result(self.folder, part.kind, part.key)
            if found is None:
                return None
            results[part.kind].append(found)
        measured, curves, compact = (_joined(results[kind]) for kind in ("measures", "curves", "compact"))
        randomised_weights = [
            Randomised(tuple(notes["layers"]), tensors["correlation"].numpy(), tensors["gini"].numpy())
            for tensors, notes in results["redrawn"]
        ]
        return SaliencyData(
            numbers=self.order,
            measures=Measures(measured["state"], **{name: measured[name] for name in MEASURES}),
            right=measured["right"],
            perturbed=Perturbed(**curves) if curves else None,
            randomised=randomised_weights[0] if randomised_weights else None,
            maps=compact["maps"] if compact else None,
        )

    def figure_maps(self, numbers: Sequence[int]) -> tuple[NDArray[np.float32], Numbers]:
        """Return the maps of test images for a figure, (N, H, W), and the classes predicted for them, (N,)."""
        key = {**self._key(), "images": list(numbers)}
        found = load_result(self.folder, "maps", key)
        if found is None:
            found = self._maps(numbers)
            store_result(self.folder, "maps", key, found)
        tensors, _ = found
        return tensors["maps"].numpy(), tensors["predicted"].numpy()

    def _parts(self) -> list[_Part]:
        s, count = self.settings, len(self.order)
        one = PASSES * (s.maps.steps or s.maps.samples or 1)
        parts = self._chunks("measures", count, {"top": s.top, "seed": s.seed}, one, self._measures)
        parts += self._chunks("compact", s.compared, {"seed": s.seed}, one, self._compact_maps)
        more = {"points": s.points, "seed": s.seed}
        parts += self._chunks("curves", s.perturbed, more, one + 4 * s.points, self._curves)
        if s.randomised:
            chosen = self.order[: s.randomised]
            key = {**self._key(), "seed": s.seed, "images": len(chosen)}
            compute = functools.partial(self._randomised, chosen)
            parts.append(_Part("redrawn", "randomised weights", 10 * one * len(chosen), key, compute))
        return parts

    def _chunks(
        self, kind: str, count: int, more: Mapping[str, Any], work: float, compute: Callable[[Numbers], Result]
    ) -> list[_Part]:
        """Return the parts of the first `count` images, of at most CHUNK images each. work: of an image."""
        parts = []
        for first, last in _chunks(min(count, len(self.order))):
            chosen = self.order[first:last]
            key = {**self._key(), **more, "first": first, "last": last}
            if kind == "compact":
                key["images"] = chosen.tolist()  # so that their file says by itself whose maps they are
            title = f"{kind} of images {first + 1}-{last}"
            parts.append(_Part(kind, title, work * len(chosen), key, functools.partial(compute, chosen)))
        return parts

    def _key(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "run": self.run.folder.name,
            "weights": self.run.weights,
            "data": self.images.digest,
            "maps": dataclasses.asdict(self.settings.maps),
        }

    def _store(self, part: _Part) -> str:
        result = part.compute()
        store_result(self.folder, part.kind, part.key, result)
        gini = result[0].get("gini") if part.kind == "measures" else None
        return "" if gini is None or gini.isnan().all() else f"Gini {gini.nanmean():.3f}"

    def _measures(self, chosen: Numbers) -> Result:
        rows: list[dict[str, Tensor]] = []
        compact: list[Tensor] = []
        compared = set(chosen.tolist()) <= set(self.order[: self.settings.compared].tolist())
        for numbers, x, labels in self._batches(chosen):
            maps = self._saliency(x, labels, numbers)
            found = measure(maps.cpu().numpy(), self.settings.top)
            if compared:
                compact.append(compact_maps(maps))
            right = (predicted(self.network, x) == labels).cpu()
            values = {name: torch.from_numpy(getattr(found, name)) for name in ("state", *MEASURES)}
            rows.append({**values, "right": right})
        if compared:
            self._compact[tuple(chosen.tolist())] = torch.cat(compact)  # whoever asks next need not compute them again
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}, {}

    def _curves(self, chosen: Numbers) -> Result:
        rows = []
        for numbers, x, labels in self._batches(chosen):
            classes = labels if self.settings.maps.target == "true" else predicted(self.network, x)
            maps = self._saliency(x, labels, numbers)
            s = self.settings
            rows.append(perturb(self.network, x, classes, maps, s.points, s.seed, numbers, self.check))
        return {name: torch.cat([torch.from_numpy(getattr(row, name)) for row in rows]) for name in CURVES}, {}

    def _compact_maps(self, chosen: Numbers) -> Result:
        maps = self._compact.pop(tuple(chosen.tolist()), None)
        if maps is None:
            maps = torch.cat([compact_maps(self._saliency(x, y, numbers)) for numbers, x, y in self._batches(chosen)])
        return {"maps": maps}, {}

    def _randomised(self, chosen: Numbers) -> Result:
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
        """Return the run's network on the device, moved there when it is needed first."""
        if self._network is None:
            self._network = self.run.network.to(self.device)
        return self._network

    def _batches(self, chosen: Numbers) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        for first in range(0, len(chosen), self.batch):
            self.check()
            numbers = torch.from_numpy(chosen[first : first + self.batch])
            x = to_inputs(self.images.test_images[numbers].to(self.device), self.size)
            yield numbers.tolist(), x, self.images.test_labels[numbers].to(self.device)


def compact_maps(maps: Tensor) -> Tensor:
    """Return maps (N, H, W) as they are cached by the thousand: float16, at most COMPACT wide and high, on the CPU.

    Each is divided by its largest value, since float16 is narrow and nothing that compares maps looks at their scale. A
    map that is all zero stays so; one with values that are not finite is all NaN.
    """
    finite = maps.isfinite().flatten(1).all(1)
    side = min(COMPACT, maps.shape[1]), min(COMPACT, maps.shape[2])
    small = adaptive_avg_pool2d(maps[:, None].double(), side)[:, 0]
    largest = small.flatten(1).amax(1)[:, None, None]
    small = torch.where(largest > 0, small / largest, small)
    return torch.where(finite[:, None, None], small, torch.nan).to(torch.float16).cpu()


def image_order(count: int, seed: int) -> Numbers:
    """Return the numbers 0 to count - 1, int64, in the order that `seed` decides."""
    order: Numbers = np.random.default_rng(seed).permutation(count).astype(np.int64)
    return order


def _chunks(count: int) -> list[tuple[int, int]]:
    return [(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]


def _joined(results: Sequence[Result]) -> dict[str, NDArray[Any]]:
    """Return the tensors of consecutive chunks, joined along their first dimension; {} without any."""
    return {
        name: torch.cat([tensors[name] for tensors, _ in results]).numpy()
        for name in (results[0][0] if results else ())
    }
