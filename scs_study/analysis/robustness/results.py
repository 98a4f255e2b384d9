"""What is cached of the attacks on the runs of a study, read back: what tables and figures are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.variants import Record
from scs_study.evaluation.robustness import batches
from scs_study.evaluation.robustness.batches import FirstEps
from scs_study.evaluation.robustness.evaluate import NEVER
from scs_study.evaluation.robustness.identity import (
    PGD,
    ZERO,
    additional_images,
    additional_mask,
    attack_names,
    cached_clean,
    cached_first_eps,
    cached_predictions,
    identity,
    pgd_mask,
)
from scs_study.evaluation.robustness.masking import (
    Flags,
    Verdict,
    after_all,
    constant_prediction,
    left_right,
    verdict,
)
from scs_study.evaluation.robustness.models import AttackedModel
from scs_study.evaluation.robustness.settings import Robustness


@dataclass(frozen=True, eq=False)
class AttackResult:
    """A run under attack. row: of the collected frame. right: as they are, bool (images,); pgd: first successful eps.

    additional: that of the additional attacks, on their first images; None where not (all) attacked yet. zero: 0 for
    images without a gradient. source: whose transferred images it saw. speed: images x gradients a second under PGD.
    constant: the share of the images that get one class, where it is far too large.
    """

    row: Record
    right: NDArray[np.bool_]
    pgd: FirstEps
    additional: Mapping[str, FirstEps | None]
    zero: FirstEps | None
    source: str | None
    speed: float
    constant: float | None = None

    def survivors(self, settings: Robustness) -> list[int]:
        """Return at each radius of settings.eps the number of images that are still classified rightly."""
        indices = range(-1, len(settings.eps) - 1)
        return [int((self.right & ((self.pgd == NEVER) | (self.pgd > index))).sum()) for index in indices]

    def verdicts(self, settings: Robustness) -> list[Verdict]:
        """Return the Verdict at each radius of the additional attacks."""
        images = additional_images(len(self.pgd), settings)
        return [
            verdict(
                self.right[:images],
                self.pgd[:images],
                self.additional,
                self.zero,
                radius,
                settings.eps.index(radius) - 1,
                number,
                settings.margin,
                self.constant,
            )
            for number, radius in enumerate(settings.check_eps)
        ]

    def right_after(self, settings: Robustness, radius: float) -> tuple[Flags, Flags | None]:
        """Return at a radius of the additional attacks which images are right after PGD and after all, (images,).

        The latter is None where an attack that there should be has not been made yet.
        """
        images = additional_images(len(self.pgd), settings)
        index, additional_index = settings.eps.index(radius) - 1, settings.check_eps.index(radius)
        survivors, taken = left_right(self.right[:images], self.pgd[:images], self.additional, index, additional_index)
        return survivors, None if any(each is None for each in taken.values()) else after_all(survivors, taken)


def attack_result(row: Record, model: AttackedModel, settings: Robustness) -> AttackResult | None:
    """Return what is cached of a run's attacks; None before PGD has attacked all images.

    Raises:
        ValueError: naming a damaged file.
    """
    right = cached_clean(model)
    pgd = None if right is None else cached_first_eps(model, PGD, settings, pgd_mask(right, settings))
    if right is None or pgd is None:
        return None
    right = right[: settings.images]
    images = additional_images(len(pgd), settings)
    mask = additional_mask(right, pgd, settings)
    additional = {name: cached_first_eps(model, name, settings, mask) for name in attack_names(model, settings)[1:]}
    everything = np.ones((1, images), dtype=np.bool_)
    zero = cached_first_eps(model, ZERO, settings, everything) if settings.checks else None
    source = None if model.source is None else model.source.folder.name
    done = batches.read(model.trained.folder, identity(model, PGD, settings)).values()
    seconds = sum(batch.seconds for batch in done)
    speed = sum(batch.gradients for batch in done) / seconds if seconds else 0.0
    predicted, classes = cached_predictions(model), model.trained.cell.data.num_classes
    constant = None if predicted is None or not classes else constant_prediction(predicted[: len(right)], classes)
    return AttackResult(row, right, pgd, additional, zero, source, speed, constant)
