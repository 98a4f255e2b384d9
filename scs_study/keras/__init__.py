"""The studied layers for Keras 3, on any of its backends; conversion from and to torch. Needs `scs-study[keras]`.

`CosSim2D` and `MaxAbsPool2D` are the layers of Pisoni's blog post, by his arguments; `SharpenedCosineSimilarity2D` is
the layer studied here, by Conv2D's. torch is imported by `from_torch` and `to_torch` alone, or by Keras itself where it
is the backend.
"""

from scs_study.keras.blog import CosSim2D, MaxAbsPool2D, Sequential
from scs_study.keras.convert import from_torch, to_torch
from scs_study.keras.layers import SharpenedCosineSimilarity2D, SharpenedDotProduct2D

__all__ = [
    "CosSim2D",
    "MaxAbsPool2D",
    "Sequential",
    "SharpenedCosineSimilarity2D",
    "SharpenedDotProduct2D",
    "from_torch",
    "to_torch",
]
