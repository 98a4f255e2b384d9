"""Does PGD tell the truth about a network? Signs that its gradients hide what other attacks find.

|c|^p with p > 1 has a vanishing derivative where c is near 0, so a network of such layers can withstand PGD without
being robust (Athalye et al. 2018 on obfuscated gradients; Carlini et al. 2019 list the signs looked for here: attacks
without gradients or with more steps that find more, inputs whose gradient is zero).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scs_study.evaluation.robustness.batches import FirstEps
from scs_study.evaluation.robustness.evaluate import NEVER
from scs_study.evaluation.robustness.settings import WORDS

Flags = NDArray[np.bool_]

MUCH_ZERO = 0.05
"""The share of images without any gradient from which a network is flagged by it alone."""


@dataclass(frozen=True)
class Verdict:
    """All attacks on one run at one radius, as numbers of images.

    clean: classified rightly as they are. pgd: and after PGD. found: by attack, the survivors of PGD that it fooled.
    worst: right after all attacks. zero: images, of all, whose loss has no gradient at all; None where not looked at.
    complete: whether every attack there should be has been made; flags: the signs of masked gradients, and of a network
    that hardly looks at its images, in words, () for none.
    """

    eps: float
    images: int
    clean: int
    pgd: int
    found: Mapping[str, int | None]
    worst: int
    zero: int | None
    complete: bool
    flags: tuple[str, ...]


def verdict(
    right: NDArray[np.bool_],
    pgd: FirstEps,
    additional: Mapping[str, FirstEps | None],
    zero: FirstEps | None,
    eps: float,
    index: int,
    additional_index: int,
    margin: float,
    constant: float | None = None,
) -> Verdict:
    """Return the Verdict at a radius, `index` of PGD's radii above 0 and `additional_index` of the additional attacks'.

    right: bool (images,), as they are. pgd, additional: the first successful eps of each image, of the same images.
    margin: the share of all images that an additional attack may find beyond PGD. constant: of `constant_prediction`.
    """
    images = len(right)
    survivors, taken = left_right(right, pgd, additional, index, additional_index)
    found = {name: None if each is None else int(each.sum()) for name, each in taken.items()}
    robust = after_all(survivors, taken)
    flags = [
        f"{WORDS[name]} +{100 * count / images:.1f}"
        for name, count in found.items()
        if count is not None and count > margin * images
    ]
    dead = None if zero is None else int((zero != NEVER).sum())
    if dead is not None and dead > MUCH_ZERO * images:
        flags.append(f"no gradient {100 * dead / images:.0f} %")
    if constant is not None:
        flags.append(f"constant prediction {100 * constant:.0f} %")
    return Verdict(
        eps,
        images,
        int(right.sum()),
        int(survivors.sum()),
        found,
        int(robust.sum()),
        dead,
        all(count is not None for count in found.values()),
        tuple(flags),
    )


def left_right(
    right: Flags, pgd: FirstEps, additional: Mapping[str, FirstEps | None], index: int, additional_index: int
) -> tuple[Flags, dict[str, Flags | None]]:
    """Return at a radius which images are right after PGD, and by attack which of those it fooled; bool (images,).

    None for an attack that has not been made (on all images) yet. The arguments: as of `verdict`.
    """
    survivors = right & ((pgd == NEVER) | (pgd > index))
    taken: dict[str, Flags | None] = {}
    for name, first_eps in additional.items():
        assert first_eps is None or len(first_eps) == len(right)
        fooled = None if first_eps is None else (first_eps != NEVER) & (first_eps <= additional_index)
        taken[name] = None if fooled is None else survivors & fooled
    return survivors, taken


def after_all(survivors: Flags, taken: Mapping[str, Flags | None]) -> Flags:
    """Return which images are right after PGD and all attacks that have been made."""
    robust = survivors.copy()
    for each in taken.values():
        if each is not None:
            robust &= ~each
    return robust


def constant_prediction(predicted: NDArray[np.int64], classes: int) -> float | None:
    """Return the share of the images that get one and the same class, where that is far too large, else None.

    Far too large: twice the share of a class, or half way from it to all of the images where that is less (as with two
    classes). Such a network answers with a constant much of the time, which no attack changes and which is no
    robustness. predicted: the classes predicted for images of which all classes have the same number.
    """
    counts = np.bincount(predicted, minlength=classes)
    share = float(counts.max() / len(predicted))
    return share if share >= min(2 / classes, (1 + 1 / classes) / 2) else None
