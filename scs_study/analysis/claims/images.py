"""What was measured image by image: saliency maps and attacks, read from the run folders that their analyses filled.

Cells are compared on the same images, under the same settings and the same attacks: of everything that a run's folder
holds, only what all compared runs have counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scs_study.analysis.claims.metrics import NotMeasured
from scs_study.analysis.claims.schema import ClaimFile, Test
from scs_study.analysis.variants import Record
from scs_study.evaluation.robustness import batches as attack_files
from scs_study.evaluation.robustness.evaluate import NEVER
from scs_study.evaluation.saliency.evaluator import FOLDER as SALIENCY
from scs_study.evaluation.saliency.measures import spearman
from scs_study.evaluation.saliency.perturbation import area
from scs_study.evaluation.saliency.settings import MapSettings
from scs_study.system.files import read_lines
from scs_study.system.tensors import checksum, load_tensors
from scs_study.training import run_dir as run_folder

Subject = tuple[Record, ...]
"""What has one value an image: a run, or a pair of runs whose maps are compared."""
Found = Mapping[str, "pd.Series[float]"]
"""By the settings that they were computed under: values by image."""


@dataclass(frozen=True)
class OnImages:
    """values: (seeds, subjects, images), NaN where an image has none. notes: under which settings; lacking: of what
    the gate asks for, what is not there."""

    values: NDArray[np.float64]
    notes: tuple[str, ...]
    lacking: tuple[str, ...]


class ImageFiles:
    """Reads the files of runs, each once. One instance a judgement: it never looks at a folder twice."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Any] = {}

    def values(self, test: Test, file: ClaimFile, seeds: Sequence[Sequence[Subject]]) -> OnImages:
        """Return the values of a test's metric for the subjects of each seed, on the images that all of them have.

        Raises NotMeasured in one sentence where there is nothing in common.
        """
        if test.metric.source == "robustness":
            return self._attacked(test, file, seeds)
        found = [[self._saliency(test.metric.name, subject) for subject in subjects] for subjects in seeds]
        common = set.intersection(*(set(each) for subjects in found for each in subjects))
        if not common:
            raise NotMeasured("the saliency maps of these runs have no settings in common")
        key = max(common, key=lambda key: min(len(each[key]) for subjects in found for each in subjects))
        values = _stacked([[each[key] for each in subjects] for subjects in found])
        return OnImages(values, (), _too_few(values, file))

    def _saliency(self, metric: str, subject: Subject) -> Found:
        if metric == "map_similarity":
            first, second = (self._once("maps", row, _maps) for row in subject)
            images = sorted(first.keys() & second.keys())
            if not images:
                raise NotMeasured(
                    f"{subject[0]['run']}, {subject[1]['run']}: no saliency map of the same image is kept"
                )
            maps = [np.stack([each[number] for number in images]) for each in (first, second)]
            return {"maps": pd.Series(spearman(*maps), index=images)}
        part = "curves" if metric == "insertion" else "measures"
        found: Found = self._once(part, subject[0], _insertion if part == "curves" else _gini)
        if not found:
            raise NotMeasured(f"{subject[0]['run']}: no saliency {part} of vanilla gradients in its folder")
        return found

    def _attacked(self, test: Test, file: ClaimFile, seeds: Sequence[Sequence[Subject]]) -> OnImages:
        found = [[self._once("attacks", subject[0], _attacks) for subject in subjects] for subjects in seeds]
        common = set.intersection(*(set(each) for subjects in found for each in subjects))
        methods = {key: json.loads(key) for key in common if key != "clean"}
        usual = [key for key, about in methods.items() if about["attack"] == "pgd"]
        if "clean" not in common or not usual:
            raise NotMeasured("these runs have not been attacked by the same PGD")
        usual.sort(key=lambda key: (-methods[key]["method"]["steps"], key))
        chosen = [usual[0]]
        if test.metric.name == "worst_accuracy":
            chosen += [key for key in sorted(methods) if key != usual[0]]
        if test.eps is not None:
            if test.eps not in methods[usual[0]]["eps"]:
                raise NotMeasured(f"these runs have not been attacked by PGD at {test.eps:g}/255")
            chosen = [key for key in chosen if test.eps in methods[key]["eps"]]
        names = sorted({methods[key]["attack"] for key in chosen})

        def one(each: Found) -> pd.Series[float]:
            if test.eps is None:
                kept = _kept(each, usual[0], methods[usual[0]]["eps"])
            else:
                first_eps = pd.concat([each[key] for key in chosen], axis=1, join="inner").min(axis=1)
                right = each["clean"].reindex(first_eps.index)
                kept = 100.0 * ((right == 1) & (first_eps > test.eps)).astype(float)
            return kept

        values = _stacked([[one(each) for each in subjects] for subjects in found])
        lacking = list(_too_few(values, file))
        if test.metric.name == "worst_accuracy":
            budgets: dict[str, int] = {}
            for key in chosen:
                name, about = methods[key]["attack"], methods[key]["method"]
                budgets[name] = max(budgets.get(name, 0), about["steps"] * about["restarts"])
            lacking += [
                f"{name} with {least} steps" + (f" (there are {budgets[name]})" if name in budgets else "")
                for name, least in file.attacks.items()
                if budgets.get(name, 0) < least
            ]
        return OnImages(values, (f"attacks: {', '.join(names)}",), tuple(lacking))

    def _once(self, part: str, row: Record, read: Any) -> Any:
        folder = Path(row["folder"])
        weights = ("weights", str(folder))
        if weights not in self._kept:
            self._kept[weights] = _weights(folder)
        key = (part, str(folder))
        if key not in self._kept:
            self._kept[key] = read(folder, self._kept[weights])
        return self._kept[key]


def _weights(folder: Path) -> str:
    """The checksum of a run's trained weights. Raises NotMeasured where they are not there: what an analysis in the
    folder is about could not be told."""
    try:
        return checksum(load_tensors(folder / run_folder.WEIGHTS)[0])
    except FileNotFoundError:
        raise NotMeasured(
            f"{folder.name}: no {run_folder.WEIGHTS}, so nothing says which weights were analysed"
        ) from None


def _stacked(seeds: Sequence[Sequence[pd.Series[float]]]) -> NDArray[np.float64]:
    images = seeds[0][0].index
    for subjects in seeds:
        for each in subjects:
            images = images.intersection(each.index)
    if not len(images):
        raise NotMeasured("these runs have no analysed image in common")
    images = images.sort_values()
    return np.array([[each.reindex(images).to_numpy(dtype=np.float64) for each in subjects] for subjects in seeds])


def _too_few(values: NDArray[np.float64], file: ClaimFile) -> tuple[str, ...]:
    images = values.shape[2]
    return (f"{file.images} images (there are {images})",) if images < file.images else ()


def _gini(folder: Path, weights: str) -> Found:
    return _chunks(folder, weights, "measures", lambda tensors: tensors["gini"].numpy())


def _insertion(folder: Path, weights: str) -> Found:
    def gain(tensors: Mapping[str, Any]) -> NDArray[np.float64]:
        return np.asarray(area(tensors["insertion"].numpy()) - area(tensors["insertion_random"].numpy()))

    return _chunks(folder, weights, "curves", gain)


def _chunks(folder: Path, weights: str, part: str, values: Any) -> Found:
    """The cached chunks of a part, joined, by their settings; images by their place in the order of the analysis."""
    joined: dict[str, list[pd.Series[float]]] = {}
    for path in sorted((folder / SALIENCY).glob(f"{part}-*.safetensors")):
        tensors, about = load_tensors(path)
        facts = dict(about["facts"])
        if facts.pop("weights") != weights or facts["maps"] != vars(MapSettings()):
            continue
        first, last, _ = facts.pop("first"), facts.pop("last"), facts.pop("run")
        key = json.dumps(facts, sort_keys=True)
        joined.setdefault(key, []).append(pd.Series(values(tensors), index=range(first, last)))
    return {key: _of_first(pd.concat(each)) for key, each in joined.items()}


def _of_first(series: pd.Series[float]) -> pd.Series[float]:
    """Without repetitions: chunks of a shorter and a longer analysis may hold the same images."""
    return series[~series.index.duplicated()].sort_index()


def _maps(folder: Path, weights: str) -> dict[int, NDArray[np.float64]]:
    """The cached maps of a run by number of the test image."""
    found: dict[int, NDArray[np.float64]] = {}
    # Of an evaluation that cached maps by the thousand those alone: they are smaller than the ones of its figure.
    paths = sorted((folder / SALIENCY).glob("compact-*.safetensors")) or (folder / SALIENCY).glob("maps-*.safetensors")
    for path in sorted(paths):
        tensors, about = load_tensors(path)
        if about["facts"]["weights"] == weights and about["facts"]["maps"] == vars(MapSettings()):
            found |= dict(zip(about["facts"]["images"], tensors["maps"].double().numpy(), strict=True))
    return found


def _attacks(folder: Path, weights: str) -> Found:
    """By attack: each image's first successful eps, inf where there is none; "clean": 1 where the network is right."""
    found: dict[str, pd.Series[float]] = {}
    for path in sorted((folder / attack_files.FOLDER).glob("*.jsonl")):
        lines = read_lines(path)
        header = {key: value for key, value in (lines[0] if lines else {}).items() if key != "format"}
        if header.get("weights") != weights or ("method" not in header and header.get("attack") != "clean"):
            continue
        radii = header.get("eps", [0.0])
        parts = []
        for batch in attack_files.read(folder, header).values():
            radius = [math.inf if index == NEVER else radii[index] for index in batch.values]
            parts.append(pd.Series(radius, index=range(batch.first, batch.first + batch.count), dtype="float64"))
        if not parts:
            continue
        # The least of all batches: an adversarial image is one, whichever others were attacked with it.
        first_eps = pd.concat(parts).groupby(level=0).min()
        if header["attack"] == "clean":
            found["clean"] = (first_eps == math.inf).astype(float)
        else:
            about = {key: value for key, value in header.items() if key not in ("weights", "source")}
            found[json.dumps(about, sort_keys=True)] = first_eps
    return found


def _kept(each: Found, pgd: str, radii: Sequence[float]) -> pd.Series[float]:
    first_eps = each[pgd]
    right = each["clean"].reindex(first_eps.index)
    share = np.mean([(first_eps > radius).to_numpy(dtype=np.float64) for radius in radii], axis=0)
    return pd.Series(100.0 * share, index=first_eps.index).where(right == 1)
