"""What is kept of the attacks on the runs of a study, read back: what tables and figures are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.collect import WHOLE
from scs_study.analysis.variants import Record
from scs_study.evaluation.robustness import cache as keep
from scs_study.evaluation.robustness.cache import Fell
from scs_study.evaluation.robustness.evaluate import NEVER
from scs_study.evaluation.robustness.masking import Verdict, verdict
from scs_study.evaluation.robustness.runs import (
    PGD,
    ZERO,
    Target,
    attack_names,
    check_visit,
    identity,
    kept_clean,
    kept_fell,
    pgd_visit,
)
from scs_study.evaluation.robustness.settings import Robustness
from scs_study.evaluation.trained import load_trained

PREFERRED = {"conv": ("relu", "max"), "scs": ("none", "maxabs")}
"""The baseline of the paper's tables, and the gallery's recommendation: what transferred images are made for."""


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A run under attack. row: of the collected frame. right: as they are, bool (images,); pgd: what fell when.

    checks: the same of the further attacks, on their first images; None where not (all) attacked yet. zero: 0 for
    images without a gradient. source: whose transferred images it saw. speed: images x gradients a second under PGD.
    """

    row: Record
    right: NDArray[np.bool_]
    pgd: Fell
    checks: Mapping[str, Fell | None]
    zero: Fell | None
    source: str | None
    speed: float

    def left(self, settings: Robustness) -> list[int]:
        """At each radius of settings.eps the number of images that are still classified rightly."""
        indices = range(-1, len(settings.eps) - 1)
        return [int((self.right & ((self.pgd == NEVER) | (self.pgd > index))).sum()) for index in indices]

    def verdicts(self, settings: Robustness) -> list[Verdict]:
        """The Verdict at each radius of the further attacks."""
        images = min(len(self.pgd), settings.check_images or len(self.pgd))
        return [
            verdict(
                self.right[:images],
                self.pgd[:images],
                self.checks,
                self.zero,
                radius,
                settings.eps.index(radius) - 1,
                number,
                settings.margin,
            )
            for number, radius in enumerate(settings.check_eps)
        ]


def sources(rows: Sequence[Record], columns: Sequence[str]) -> dict[str, str | None]:
    """For each run among `rows` the run that transferred images are made for, by names; None where there is none.

    Of a convolution a sharpened cosine network, of anything else a convolution; of the same architecture, data, recipe
    and seed, the PREFERRED variant where it is among the finished ones and the first in order otherwise.
    columns: the identity's.
    """
    shared = [name for name in (*columns, "seed") if name not in ("layer", "activation", "pooling")]
    shared = [name for name in shared if not name.startswith("layer.")]
    whole = [row for row in rows if row["state"] in WHOLE]
    result: dict[str, str | None] = {}
    for row in rows:
        wanted = "scs" if row["layer"] == "conv" else "conv"
        others = [
            other
            for other in whole
            if other["layer"] == wanted and all(other.get(name) == row.get(name) for name in shared)
        ]
        others.sort(key=lambda other: ((other["activation"], other["pooling"]) != PREFERRED[wanted], other["run"]))
        result[row["run"]] = others[0]["run"] if others else None
    return result


def targets(rows: Sequence[Record], columns: Sequence[str], runs: Path) -> tuple[dict[str, Target], list[str]]:
    """The runs among `rows` that can be attacked, by name, and a sentence for each that cannot though it has ended."""
    loaded, problems = {}, []
    for row in rows:
        if row["state"] in WHOLE:
            try:
                loaded[row["run"]] = load_trained(runs / row["run"])
            except ValueError as error:
                problems.append(str(error))
    pairs = sources([row for row in rows if row["run"] in loaded], columns)
    found = {name: Target(loaded[name], loaded[source] if source else None) for name, source in pairs.items()}
    return found, problems


def evaluated(row: Record, target: Target, settings: Robustness) -> Evaluated | None:
    """What is kept of a run's attacks; None before PGD has visited all images. Errors: ValueError, a damaged file."""
    right = kept_clean(target)
    pgd = None if right is None else kept_fell(target, PGD, settings, pgd_visit(right, settings))
    if right is None or pgd is None:
        return None
    right = right[: settings.images]
    images = min(len(pgd), settings.check_images or len(pgd))
    visit = check_visit(right, pgd, settings)
    checks = {name: kept_fell(target, name, settings, visit) for name in attack_names(target, settings)[1:]}
    zero = kept_fell(target, ZERO, settings, np.ones((1, images), dtype=np.bool_)) if settings.checks else None
    source = None if target.source is None else target.source.folder.name
    batches = keep.read(target.trained.folder, identity(target, PGD, settings)).values()
    seconds = sum(batch.seconds for batch in batches)
    speed = sum(batch.gradients for batch in batches) / seconds if seconds else 0.0
    return Evaluated(row, right, pgd, checks, zero, source, speed)
