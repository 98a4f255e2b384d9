"""The mathematics of the study: sharpened cosine similarity, sharpened dot product and MaxAbsPool."""

from scs_study.layers.functional import sharpened_cosine_similarity, sharpened_dot_product
from scs_study.layers.modules import SharpenedCosineSimilarity2d, SharpenedDotProduct2d
from scs_study.layers.pooling import MaxAbsPool2d, max_abs_pool2d

__all__ = [
    "MaxAbsPool2d",
    "SharpenedCosineSimilarity2d",
    "SharpenedDotProduct2d",
    "max_abs_pool2d",
    "sharpened_cosine_similarity",
    "sharpened_dot_product",
]
