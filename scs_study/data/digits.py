"""scikit-learn's bundled handwritten digits: real images that need no download."""

from __future__ import annotations

import numpy as np

from scs_study.data.image_set import DataError, ImageSet, canonical, image_set

DIGEST = "a5db8cc94020630e3f608e2dc13cf7de52a94cf43b3276583ccd2b9489d46871"
"""The digest of the set below. Another one means that scikit-learn ships other images than it used to."""


def load_digits() -> ImageSet:
    """Return the 1,442 training and 355 test images of scikit-learn's `load_digits` (UCI optical recognition of
    digits).

    Grey values 0..16 are scaled to 0..255 and rounded; each of the 8x8 pixels becomes 4x4 equal ones, each grey value
    three equal channels. The split is fixed: of each class, every fifth image in scikit-learn's order is a test image.
    Neighbours in that order are often by the same hand, so both splits hold the same writers.

    Raises DataError if scikit-learn's images are not those this project was written for.
    """
    import sklearn.datasets  # a second that only those who use it should pay

    bundled = sklearn.datasets.load_digits()
    labels = np.asarray(bundled.target, np.int64)
    grey = ((np.asarray(bundled.images).astype(np.int64) * 255 + 8) // 16).astype(np.uint8)
    images = grey.repeat(4, axis=1).repeat(4, axis=2)
    rank = np.empty_like(labels)
    for digit in range(10):
        of_digit = np.flatnonzero(labels == digit)
        rank[of_digit] = np.arange(len(of_digit))
    test = rank % 5 == 4
    digits = image_set(
        canonical(images[~test], labels[~test]),
        canonical(images[test], labels[test]),
        classes=tuple("0123456789"),
        origin="scikit-learn's bundled load_digits",
    )
    if digits.digest != DIGEST:
        raise DataError(
            f"data.name=digits: this version of scikit-learn ({sklearn.__version__}) bundles other images than those "
            f"this project knows (digest {digits.digest[:12]} instead of {DIGEST[:12]}); install the locked version"
        )
    return digits
