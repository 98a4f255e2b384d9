"""torchvision's RandAugment for an epoch's images at once: what is drawn for each, and its kernels by kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

OPERATIONS = (
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast"),
    *("Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)
"""By torchvision's names, and in its order."""
SIGNED = OPERATIONS[1:10]
"""Those whose magnitude is negative for one half of the images."""
BINS = 31
VALUES = 2**24
"""Pixels' values that are worked on at once: their float32 copies take some hundred megabytes."""


def draw_operations(count: int, operations: int, generator: torch.Generator) -> Tensor:
    """Return for each of `count` images its operations in order, int64 (operations, count): kind, or -1 - kind of a
    signed one whose magnitude is negative.
    """
    kinds = torch.randint(len(OPERATIONS), (operations, count), generator=generator)
    negative = torch.rand(operations, count, generator=generator) <= 0.5
    signed = (kinds >= 1) & (kinds <= len(SIGNED))
    return torch.where(signed & negative, -1 - kinds, kinds)


def augmented(images: Tensor, drawn: Tensor, magnitude: int) -> Tensor:
    """Return images, uint8 (N, H, W, C), after their operations; drawn: (operations, N), on the CPU.

    magnitude: 0 to 30. Pixels that come from outside are black.
    """
    table = _table(magnitude, images.shape[1], images.shape[2])
    images = images.clone()
    at_once = max(1, VALUES // images[0].numel())
    for row in drawn:
        for kind in row.unique().tolist():
            name, sign = OPERATIONS[kind if kind >= 0 else -1 - kind], 1 if kind >= 0 else -1
            for some in (row == kind).nonzero().flatten().split(at_once):
                places = some.to(images.device)
                changed = table[name](images[places].permute(0, 3, 1, 2), sign)
                images[places] = changed.permute(0, 2, 3, 1)
    return images


def _table(magnitude: int, height: int, width: int) -> Mapping[str, Callable[[Tensor, int], Tensor]]:
    """What an operation does, of a batch of images (B, C, H, W) and the sign of its magnitude."""
    from torchvision.transforms.v2 import functional as tv  # takes seconds to import, as in data/mixing.py

    def part(most: float) -> float:  # in float32, as torchvision's
        return float(torch.linspace(0.0, most, BINS)[magnitude])

    lean, turn, change = math.degrees(math.atan(part(0.3))), part(30.0), part(0.9)
    across, down = (int(part(150 / 331 * side)) for side in (width, height))
    bits = int((8 - torch.tensor(magnitude / ((BINS - 1) / 4))).round())
    bright = 255 * float(torch.linspace(1.0, 0.0, BINS)[magnitude])

    def moved(x: Tensor, shift: tuple[int, int], shear: tuple[float, float]) -> Tensor:
        # A shear is about the upper left corner, as in the papers.
        centre = [0.0, 0.0] if any(shear) else None
        found: Tensor = tv.affine(x, angle=0.0, translate=list(shift), scale=1.0, shear=list(shear), center=centre)
        return found

    return {
        "Identity": lambda x, sign: x,
        "ShearX": lambda x, sign: moved(x, (0, 0), (sign * lean, 0.0)),
        "ShearY": lambda x, sign: moved(x, (0, 0), (0.0, sign * lean)),
        "TranslateX": lambda x, sign: moved(x, (sign * across, 0), (0.0, 0.0)),
        "TranslateY": lambda x, sign: moved(x, (0, sign * down), (0.0, 0.0)),
        "Rotate": lambda x, sign: tv.rotate(x, sign * turn),
        "Brightness": lambda x, sign: tv.adjust_brightness(x, 1 + sign * change),
        "Color": lambda x, sign: tv.adjust_saturation(x, 1 + sign * change),
        "Contrast": lambda x, sign: tv.adjust_contrast(x, 1 + sign * change),
        "Sharpness": lambda x, sign: tv.adjust_sharpness(x, 1 + sign * change),
        "Posterize": lambda x, sign: tv.posterize(x, bits),
        "Solarize": lambda x, sign: tv.solarize(x, bright),
        "AutoContrast": lambda x, sign: tv.autocontrast(x),
        "Equalize": lambda x, sign: tv.equalize(x),
    }
