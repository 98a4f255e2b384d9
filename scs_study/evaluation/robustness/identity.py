"""What the results of an attack depend on, which images it is made on, and what is cached of it so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scs_study.evaluation.robustness import batches
from scs_study.evaluation.robustness.attacks import LEAST_CLASSES
from scs_study.evaluation.robustness.batches import Batch, BatchKey, FirstEps
from scs_study.evaluation.robustness.evaluate import NEVER
from scs_study.evaluation.robustness.models import AttackedModel
from scs_study.evaluation.robustness.settings import Robustness
from scs_study.evaluation.robustness.smooth import can_be_smoothed

CLEAN, PREDICTED, PGD, ZERO = "clean", "predicted", "pgd", "zero_gradient"
Identity = Mapping[str, Any]


def identity(model: AttackedModel, name: str, settings: Robustness) -> Identity:
    """Return everything that the results of attack `name` depend on; which images it attacks is said by its batches."""
    common = {**clean_identity(model), "attack": name, "batch": settings.batch}
    if name == ZERO:
        return common
    if name == "transfer":
        assert model.source is not None
        common |= {"source": model.source.weights}
    radii = list(settings.eps[1:] if name == PGD else settings.check_eps)
    return {**common, "method": asdict(settings.method(name)), "eps": radii, "seed": settings.seed}


def clean_identity(model: AttackedModel, name: str = CLEAN) -> Identity:
    """Return what accuracy and predictions without an attack depend on: the weights and the images."""
    return {"attack": name, "weights": model.trained.weights, "images": model.images}


def attack_names(model: AttackedModel, settings: Robustness) -> list[str]:
    """Return the attacks on a model in their order: a transfer where it has a source, APGD where it has the classes,
    along smooth gradients where these are others."""
    classes = model.trained.cell.data.num_classes or 0
    enough = [name for name in settings.checks if classes >= LEAST_CLASSES.get(name, 2)]
    without = set() if model.source is not None else {"transfer"}
    if "smooth" in enough and not can_be_smoothed(model.trained.network):  # asked of the trained network, which is read
        without.add("smooth")
    return [PGD, *(name for name in enough if name not in without)]


def cached_first_eps(model: AttackedModel, name: str, settings: Robustness, mask: NDArray[np.bool_]) -> FirstEps | None:
    """Return the first successful eps of an attack on each image, None where not all of the mask is attacked yet.

    mask: bool (radii, images).

    Raises:
        ValueError: naming the file when it is damaged.
    """
    return joined(batches.read(model.trained.folder, identity(model, name, settings)), mask, settings.batch)


def cached_clean(model: AttackedModel) -> NDArray[np.bool_] | None:
    """Return which images are classified rightly as they are, in the order of attack, bool (N,); None if not known."""
    found = list(batches.read(model.trained.folder, clean_identity(model)).values())
    return correct(found[-1]) if found else None


def cached_predictions(model: AttackedModel) -> NDArray[np.int64] | None:
    """Return the classes predicted for the images as they are, in the order of attack, (N,); None if not known.

    Evaluations of before predictions were cached have none.
    """
    found = list(batches.read(model.trained.folder, clean_identity(model, PREDICTED)).values())
    return np.array(found[-1].values, dtype=np.int64) if found else None


def correct(clean: Batch) -> NDArray[np.bool_]:
    """Return which images of the evaluation without an attack are classified rightly, bool (N,)."""
    return np.array([index == NEVER for index in clean.values], dtype=np.bool_)


def additional_images(images: int, settings: Robustness) -> int:
    """Return how many of `images` that PGD attacks the additional attacks are made on."""
    return min(images, settings.check_images or images)


def pgd_mask(right: NDArray[np.bool_], settings: Robustness) -> NDArray[np.bool_]:
    """Return the attack mask of PGD, bool (radii, images): what is classified rightly, at every radius above 0."""
    right = right[: settings.images]
    return np.broadcast_to(right, (len(settings.eps) - 1, len(right)))


def additional_mask(right: NDArray[np.bool_], pgd: FirstEps, settings: Robustness) -> NDArray[np.bool_]:
    """Return the attack mask of the additional attacks, bool (radii, images): at each radius PGD's survivors."""
    images = additional_images(len(pgd), settings)
    pgd, right = pgd[:images], right[:images]
    indices = [settings.eps.index(radius) - 1 for radius in settings.check_eps]
    masks = [right & ((pgd == NEVER) | (pgd > index)) for index in indices]
    return np.array(masks, dtype=np.bool_).reshape(len(indices), images)


def joined(found: Mapping[BatchKey, Batch], mask: NDArray[np.bool_], size: int) -> FirstEps | None:
    """Return the values of the batches that make up a mask, (images,), None where one is missing."""
    parts: list[Sequence[int]] = []
    for first, count in batches.spans(mask.shape[1], size):
        batch = found.get((first, count, batches.mask_checksum(mask[:, first : first + count])))
        if batch is None:
            return None
        parts.append(batch.values)
    return np.array([index for part in parts for index in part], dtype=np.int64)
