"""The published layers, each as a small specification: what it divides by, how it sharpens, what it learns.

Every number is read from the public source at the commit named, and checked by running it (systems.md 1, Appendix A).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from scs_study.layers.published.parts import Floor, Number, exponential, plain, sigplus, squared

# What can go wrong in a published layer, and what the safe form does about it (docs/layers.md has the inputs).
HAZARDS = {
    "zero kernel": "a kernel of zeros gives NaN outputs or gradients; safe: zeros",
    "half": "float16 or bfloat16 overflow or are refused; safe: norm and power in float32",
    "device": "its ones live on the CPU in float32, so any other device or dtype fails; safe: none are needed",
    "state": "forward clamps the parameters, in evaluation too; safe: project_() does, forward only sees them clamped",
    "layout": "patches are read as if memory were contiguous; safe: any layout",
    "unused bias": "a bias is registered and counted but never used; safe: there is none",
    "exponent": "p may become 0 or negative, which makes outputs infinite; safe: at least 0.1",
    "empty channel": "a channel that is 0 all over a patch gets gradients of 1/eps = 1e12; safe: 0",
    "empty patch": "without a power, a patch of zeros gets gradients of up to 1e3; safe: 0",
    "five": "a padded 5 x 5 kernel sees rows and columns -2, 0, 0, 0, 2 instead of -2 ... 2; safe: those",
    "no bias": "bias=False fails in forward; safe: no offset",
}


@dataclass(frozen=True)
class Original:
    """What of a convolution's geometry the published code knows; safe=False refuses the rest."""

    square: bool = True
    stride: bool = True
    depthwise: bool = False
    shared: bool = False
    dims: tuple[int, ...] = (2,)


@dataclass(frozen=True)
class Form:
    """y = alpha sgn(c) (|c| + eps + offset)^p + bias, with c = conv(x, w / (n_w + q)) / (n_x + q).

    norm          n_x and n_w are taken over a whole patch and kernel, or channel by channel
    whole_matrix  n_w is one length, of all kernels together
    q_on          which of the two lengths q is added to
    bias          "after" is added to y, "numerator" to the convolution, "offset" inside the power as sigplus(bias);
                  "unused" is only registered
    w_max, p_min  bounds that project_() keeps
    start         of the weight, a name in parts.STARTS
    shared_order  in which order shared kernels put their outputs: all kernels of a group together, or all groups of a
                  kernel
    """

    name: str
    title: str
    commit: str
    patch_floor: Floor
    kernel_floor: Floor | None
    p: Number
    start: str
    eps: float
    norm: Literal["patch", "channel"] = "patch"
    whole_matrix: bool = False
    q: Number | None = None
    q_on: Literal["none", "patch", "kernel", "both"] = "none"
    bias: Literal["none", "after", "numerator", "offset", "unused"] = "none"
    bias_start: float | tuple[float, float] = 0.0
    biased: bool = False
    alpha: float | None = None
    w_max: float | None = None
    p_min: float | None = None
    shared_order: Literal["group", "kernel"] = "group"
    original: Original = field(default_factory=Original)
    hazards: tuple[str, ...] = ()


# The version behind the gallery's 18_4, 15_9 and 12_9; hukkelas wrote the same mathematics with conv2d.
ROHRER_FEB2022 = Form(
    "rohrer_feb2022", "Rohrer, 15 Feb 2022", "8f4c18a",
    patch_floor=Floor("inside", 1e-12), kernel_floor=Floor("inside", 1e-12), q=squared(100, 10), q_on="both",
    p=squared(10, 10 * math.sqrt(2)), eps=1e-12, start="xavier_uniform", hazards=("layout", "half"),
)  # fmt: skip

ROHRER_MAR2022 = Form(
    "rohrer_mar2022", "Rohrer, 27 Mar 2022", "d630031",
    patch_floor=Floor("inside", 1e-6), kernel_floor=None, q=exponential(-0.3, 0.3), q_on="patch",
    p=exponential(5, 5), eps=1e-6, start="conv", bias="unused", original=Original(square=False, depthwise=True),
    hazards=("zero kernel", "unused bias"),
)  # fmt: skip

ROHRER_APR2022 = Form(
    "rohrer_apr2022", "Rohrer, 14 Apr 2022 (alpha)", "22031f1",
    patch_floor=Floor("inside", 1e-6), kernel_floor=None, q=exponential(-0.3, 0.3), q_on="patch",
    p=exponential(5, 3.5), eps=1e-6, start="unit_length", alpha=10.0, original=Original(depthwise=True, shared=True),
    hazards=("zero kernel", "device"),
)  # fmt: skip

ROHRER_MAY2022 = Form(
    "rohrer_may2022", "Rohrer, 20 May 2022", "6b97796",
    patch_floor=Floor("inside", 1e-6), kernel_floor=None, q=exponential(1, math.log(1e-3)), q_on="patch",
    p=plain((1.0, 3.0)), eps=1e-6, start="uniform_1", w_max=1.0, p_min=0.1,
    original=Original(depthwise=True, shared=True), hazards=("zero kernel", "device", "state"),
)  # fmt: skip

WANG = Form(
    "wang", "Wang, 1 Feb 2022", "2b390ac",
    norm="channel", patch_floor=Floor("least", 1e-12), kernel_floor=Floor("least", 1e-12),
    p=sigplus(2), eps=1e-12, start="xavier_normal", bias="after", biased=True,
    hazards=("layout", "half", "empty channel"),
)  # fmt: skip

BATCHELOR = Form(
    "batchelor", "Batchelor, 2 Feb 2022", "b93dfcd",
    norm="channel", patch_floor=Floor("least", 1e-12), kernel_floor=Floor("least", 1e-12),
    p=plain(1), eps=1e-12, start="xavier_normal", p_min=0.1, hazards=("layout", "half", "empty channel", "exponent"),
)  # fmt: skip

HOGG = Form(
    "hogg", "Hogg, 15 Feb 2022", "02bfe21",
    patch_floor=Floor("least", 1e-12), kernel_floor=Floor("least", 1e-12), whole_matrix=True,
    q=exponential(1, (0.0, 1.0)), q_on="both", p=sigplus(2), eps=1e-12, start="glorot_matrix",
    bias="offset", biased=True, bias_start=(0.0, 1.0), original=Original(square=False, stride=False, dims=(1, 2, 3)),
)  # fmt: skip

IFEHERVA = Form(
    "ifeherva", "Fehervari, 1 Feb 2022", "0bc6eae",
    patch_floor=Floor("least", 1e-6), kernel_floor=Floor("least", 1e-6), p=sigplus(2), eps=1e-12,
    start="glorot_stack", bias="offset", biased=True, original=Original(shared=True), hazards=("half", "no bias"),
)  # fmt: skip

HUKKELAS = Form(
    "hukkelas", "Hukkelås, 22 Feb 2022 (Tyszkiewicz, pull request 6)", "ce45cf9",
    patch_floor=Floor("inside", 1e-12), kernel_floor=Floor("outside", 1e-12), q=squared(100, 10), q_on="both",
    p=squared(10, 10 * math.sqrt(2)), eps=1e-12, start="xavier_uniform", hazards=("half",),
)  # fmt: skip

ZIMONITROME = Form(
    "zimonitrome", "zimonitrome, 23 Feb 2022 (after Nestler)", "55913f3",
    patch_floor=Floor("inside", 1e-6), kernel_floor=None, q=squared(math.sqrt(10), math.sqrt(10)), q_on="kernel",
    p=squared(100, 100 + math.sqrt(2)), eps=1e-6, start="conv", bias="numerator", original=Original(square=False),
    hazards=("zero kernel", "empty patch"),
)  # fmt: skip

PISONI = Form(
    "pisoni", "Pisoni, 17 Jan 2022 (Keras, squared parameters)", "Keras notebook",
    patch_floor=Floor("least", 1e-6), kernel_floor=Floor("least", 1e-6),
    q=squared(math.sqrt(10), math.sqrt(10)), q_on="both", p=squared(10, 10), eps=1e-12, start="glorot_matrix",
    shared_order="kernel", original=Original(shared=True), hazards=("five",),
)  # fmt: skip

FORMS = {
    form.name: form
    for form in (
        ROHRER_FEB2022, ROHRER_MAR2022, ROHRER_APR2022, ROHRER_MAY2022,
        WANG, BATCHELOR, HOGG, IFEHERVA, HUKKELAS, ZIMONITROME, PISONI,
    )
}  # fmt: skip
