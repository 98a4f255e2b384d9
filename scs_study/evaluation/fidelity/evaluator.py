"""The fidelity of one adversarial run, a part for every epoch whose generator it kept; cached in the run's folder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scs_study.config.schema import ADVERSARIAL, DRAWN, CellConfig, cell_from_dict
from scs_study.data import Batches, ImageSet
from scs_study.evaluation.cache import append_record, cache_path, read_records, resume_records
from scs_study.evaluation.fidelity.features import Features, classifier_cell
from scs_study.evaluation.fidelity.metrics import Measures, measure
from scs_study.evaluation.fidelity.settings import Fidelity
from scs_study.evaluation.parts import Part
from scs_study.models import build_variant
from scs_study.models.gan import Pair
from scs_study.models.initialization import draw
from scs_study.runs.context import RunContext
from scs_study.system import files
from scs_study.system.randomness import derived
from scs_study.system.tensors import checksum, load_tensors
from scs_study.training import run_dir as run_folder
from scs_study.training.objectives.adversarial import GENERATORS

FOLDER, PART, SUFFIX = "fidelity", "epochs", ".jsonl"
BATCH = 250
REAL = 0
"""In the place of an epoch: training images in the place of samples, the best that a generator could do."""


@dataclass(frozen=True)
class Judged:
    """The measures of an epoch's samples. generator, features: checksums of the weights of both networks; count: of
    the images of either kind."""

    epoch: int
    generator: str
    features: str
    count: int
    measures: Measures

    def line(self) -> dict[str, Any]:
        """Return the record as it is cached."""
        values = dataclasses.asdict(self)
        return {**values, **values.pop("measures")}


def parse(line: dict[str, Any]) -> Judged:
    """Return the record of a cached line. Raises TypeError or KeyError for one that is damaged."""
    measures = Measures(**{field.name: float(line[field.name]) for field in dataclasses.fields(Measures)})
    return Judged(int(line["epoch"]), str(line["generator"]), str(line["features"]), int(line["count"]), measures)


def cell_in(folder: Path) -> CellConfig:
    """Return the cell of an adversarial run. Raises ValueError in one sentence for another run's folder."""
    try:
        cell = cell_from_dict(files.read_json(folder / run_folder.CONFIG))
    except OSError as error:
        raise ValueError(f"{folder.name} cannot be read: {error.strerror or error}") from error
    if cell.objective != ADVERSARIAL:
        raise ValueError(f"{folder.name} has no generator: its objective is {cell.objective}")
    return cell


def cached(folder: Path, cell: CellConfig, settings: Fidelity) -> list[Judged]:
    """Return the records of a run under these settings, by epoch. Raises ValueError for a damaged file."""
    key = identity(cell, settings)
    found = {each.epoch: each for each in read_records(cache_path(folder / FOLDER, PART, key, SUFFIX), key, parse)}
    return [found[epoch] for epoch in sorted(found)]


def identity(cell: CellConfig, settings: Fidelity) -> dict[str, Any]:
    """Return what the measures of a run depend on, beside the weights that each record names."""
    names = ("samples", "neighbours", "subsets", "subset", "seed")
    return {"features": classifier_cell(cell, settings).run_name, **{name: getattr(settings, name) for name in names}}


class FidelityEvaluator:
    """Judges one run; images and networks are loaded when the first part needs them."""

    def __init__(
        self, folder: Path, settings: Fidelity, context: RunContext, check: Callable[[], None] = lambda: None
    ) -> None:
        self.run, self.folder = folder, folder / FOLDER
        self.cell, self.settings, self.context, self.check = cell_in(folder), settings, context, check
        self._device = context.settings.device

    def work(self) -> float:
        """Return the images to be drawn at most."""
        return float(self.settings.samples * (len(self._generators()) + 1))

    def parts(self) -> Iterator[Part]:
        """Yield a part for training images in the place of samples, and one for every epoch.

        Raises ValueError in one sentence when the run cannot be judged.
        """
        key = identity(self.cell, self.settings)
        path = cache_path(self.folder, PART, key, SUFFIX)
        known = {(each.epoch, each.generator, each.features) for each in resume_records(path, key, parse)}
        for epoch, where in {REAL: None, **self._generators()}.items():
            weights = {} if where is None else load_tensors(where)[0]
            generator = checksum(weights) if where is not None else ""
            title = "training images" if where is None else f"epoch {epoch}"

            def compute(epoch: int = epoch, generator: str = generator, weights: Mapping[str, Tensor] = weights) -> str:
                fake = self._training if epoch == REAL else self._drawn(weights)
                measures = self._measured(fake)
                record = Judged(epoch, generator, self._features.weights, min(len(fake), len(self._real)), measures)
                append_record(path, key, record, record.line(), parse)
                return f"Fréchet distance {measures.frechet:.3f}"

            there = (epoch, generator, self._features.weights) in known
            yield Part("epoch", title, float(self.settings.samples), None if there else compute)

    def _generators(self) -> dict[int, Path]:
        kept = sorted((self.run / GENERATORS).glob("epoch-*.safetensors"))
        if not kept:
            raise ValueError(f"{self.run.name} has no {GENERATORS}/, so no samples can be drawn")
        return {int(path.stem.removeprefix("epoch-")): path for path in kept}

    def _measured(self, fake: NDArray[np.float64]) -> Measures:
        if not np.isfinite(fake).all():
            raise ValueError(f"{self.run.name}: its samples are not finite, so nothing can be measured of them")
        s = self.settings
        return measure(self._real, fake, s.neighbours, s.subsets, s.subset, s.seed)

    @functools.cached_property
    def _features(self) -> Features:
        return Features(self.context.runs / classifier_cell(self.cell, self.settings).run_name, self._device)

    @functools.cached_property
    def _images(self) -> ImageSet:
        return self.context.images(self.cell.data)

    @functools.cached_property
    def _real(self) -> NDArray[np.float64]:
        return self._features_of(self._images.test_images, self._images.test_labels)

    @property
    def _training(self) -> NDArray[np.float64]:
        return self._features_of(self._images.train_images, self._images.train_labels)

    def _features_of(self, pixels: Tensor, labels: Tensor) -> NDArray[np.float64]:
        """The features of evenly spaced images of a split: they are ordered by class."""
        count = min(self.settings.samples, len(labels))
        chosen = torch.arange(count) * len(labels) // count
        images = dataclasses.replace(self._images, test_images=pixels[chosen], test_labels=labels[chosen])
        few = dataclasses.replace(images, train_images=pixels[:1], train_labels=labels[:1])
        batches = Batches(few, self.cell.data, 1, 0, self._device).test(BATCH)
        return self._features.of(self._watched(x for x, _ in batches))

    def _drawn(self, weights: Mapping[str, Tensor]) -> NDArray[np.float64]:
        generator = self._generator(weights)
        chance = torch.Generator().manual_seed(derived(f"fidelity noise {self.settings.seed}"))
        latent, left = self._latent, range(0, len(self._real), BATCH)
        sizes = [min(BATCH, len(self._real) - first) for first in left]
        noise = (torch.randn(size, latent, 1, 1, generator=chance).to(self._device) for size in sizes)
        with torch.no_grad():
            return self._features.of(self._watched(generator(each) for each in noise))

    def _watched(self, batches: Iterator[Tensor]) -> Iterator[Tensor]:
        for batch in batches:
            self.check()
            yield batch

    def _generator(self, weights: Mapping[str, Tensor]) -> nn.Module:
        pair = build_variant(self.cell, draw(self.cell.arch, self.cell.seed, DRAWN[0], self.cell.data.ends))
        assert isinstance(pair, Pair)
        try:
            pair.generator.load_state_dict(dict(weights))
        except RuntimeError as error:
            raise ValueError(f"{self.run.name}: its {GENERATORS}/ are of another network") from error
        self._latent = pair.generator.latent
        return pair.generator.to(device=self._device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]
