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

from scs_study.evaluation.robustness.cache import Fell
from scs_study.evaluation.robustness.evaluate import NEVER
from scs_study.evaluation.robustness.settings import WORDS

MUCH_ZERO = 0.05
"""The share of images without any gradient from which a network is flagged by it alone."""


@dataclass(frozen=True)
class Verdict:
    """All attacks on one run at one radius, as numbers of images.

    clean: classified rightly as they are. pgd: and after PGD. found: by attack, what PGD left and it took. worst: right
    after all attacks. zero: images, of all, whose loss has no gradient at all; None where not looked at. complete:
    whether every attack there should be has been made; flags: the signs of masked gradients in words, () for none.
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
    pgd: Fell,
    checks: Mapping[str, Fell | None],
    zero: Fell | None,
    eps: float,
    index: int,
    check_index: int,
    margin: float,
) -> Verdict:
    """The Verdict at a radius, `index` of PGD's radii above 0 and `check_index` of the further attacks'.

    right: bool (images,), as they are. pgd, checks: what fell when; a check of more or fewer images is a mistake of
    ours. margin: the share of all images that a further attack may find beyond PGD.
    """
    images = len(right)
    left = right & ((pgd == NEVER) | (pgd > index))
    robust = left.copy()
    found: dict[str, int | None] = {}
    for name, fell in checks.items():
        if fell is None:
            found[name] = None
            continue
        assert len(fell) == images
        taken = left & (fell != NEVER) & (fell <= check_index)
        found[name] = int(taken.sum())
        robust &= ~taken
    flags = [
        f"{WORDS[name]} +{100 * count / images:.1f}"
        for name, count in found.items()
        if count is not None and count > margin * images
    ]
    dead = None if zero is None else int((zero != NEVER).sum())
    if dead is not None and dead > MUCH_ZERO * images:
        flags.append(f"no gradient {100 * dead / images:.0f} %")
    return Verdict(
        eps,
        images,
        int(right.sum()),
        int(left.sum()),
        found,
        int(robust.sum()),
        dead,
        all(count is not None for count in found.values()),
        tuple(flags),
    )
