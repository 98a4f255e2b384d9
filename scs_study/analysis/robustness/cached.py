"""Accuracy under attack as run folders have it cached, of any settings: no network is loaded, records will do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scs_study.evaluation.robustness import batches
from scs_study.evaluation.robustness.attacks import Method
from scs_study.evaluation.robustness.batches import FirstEps
from scs_study.evaluation.robustness.evaluate import NEVER
from scs_study.evaluation.robustness.identity import CLEAN, PGD, correct
from scs_study.evaluation.robustness.settings import pgd_words
from scs_study.system.files import read_lines
from scs_study.system.tensors import checksum, load_tensors
from scs_study.training import run_dir as run_folder


@dataclass(frozen=True)
class PGDSettings:
    """What the curves of one chart have in common. words: how it attacks; eps: the radii, from 0, in 255ths."""

    words: str
    eps: tuple[float, ...]
    key: str


@dataclass(frozen=True, eq=False)
class Attacked:
    """A run under PGD. right: as they are, bool (images,); pgd: first successful eps, (images,)."""

    right: NDArray[np.bool_]
    pgd: FirstEps

    def accuracies(self, settings: PGDSettings, images: int) -> list[float]:
        """Return the accuracy at every radius on the first so many images, which all runs are attacked in order of."""
        right, pgd = self.right[:images], self.pgd[:images]
        return [float((right & ((pgd == NEVER) | (pgd >= index))).mean()) for index in range(len(settings.eps))]


def attacked_by_pgd(folder: Path) -> dict[PGDSettings, Attacked]:
    """Return a run's accuracy under PGD by its settings, {} for a run that has not been attacked.

    What is cached of other weights than the run's is left out; where those are not there, as in published records,
    what is cached of more than one network's. Raises ValueError naming a damaged file.
    """
    found = [header for path in sorted((folder / batches.FOLDER).glob("*.jsonl")) if (header := _header(path))]
    known = {str(header["weights"]) for header in found}
    try:
        known &= {checksum(load_tensors(folder / run_folder.WEIGHTS)[0])}
    except FileNotFoundError:
        known = known if len(known) == 1 else set()
    mine = [header for header in found if header["weights"] in known]
    clean = next((header for header in mine if header["attack"] == CLEAN), None)
    if clean is None:
        return {}
    *_, last = batches.read(folder, clean).values()
    right, curves = correct(last), {}
    for header in mine:
        if header["attack"] == PGD and (pgd := _first_eps(folder, header)) is not None:
            curves[_settings(header)] = Attacked(right[: len(pgd)], pgd)
    return curves


def _header(path: Path) -> dict[str, Any] | None:
    """The identity that a file of an attack begins with; None for one of another form."""
    lines = read_lines(path)
    header = {key: value for key, value in (lines[0] if lines else {}).items() if key != "format"}
    return header if len(lines) > 1 and "weights" in header and "attack" in header else None


def _first_eps(folder: Path, header: Mapping[str, Any]) -> FirstEps | None:
    """The first successful eps of the images from the first to where nothing has been attacked yet."""
    parts = {each.first: each for each in sorted(batches.read(folder, header).values(), key=lambda each: each.count)}
    values: list[int] = []
    while (batch := parts.get(len(values))) is not None:
        values += batch.values
    return np.array(values, dtype=np.int64) if values else None


def _settings(header: Mapping[str, Any]) -> PGDSettings:
    about = {key: value for key, value in header.items() if key not in ("weights", "batch")}
    return PGDSettings(
        pgd_words(Method(**header["method"])), (0.0, *map(float, header["eps"])), json.dumps(about, sort_keys=True)
    )
