"""A folder of images as people have them: 7 classes, JPEG and PNG, grey, transparent, of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")
KINDS = (
    ("RGB", ".png"), ("RGB", ".jpg"), ("L", ".png"), ("L", ".JPEG"), ("RGBA", ".png"), ("LA", ".png"), ("P", ".png"),
    ("1", ".png"), ("CMYK", ".jpg"), ("RGB", ".webp"), ("I;16", ".png"), ("RGB", ".bmp"),
)  # fmt: skip


def write_images(folder: Path, count: int, seed: int) -> None:
    """Write `count` random images of all kinds and of sizes from 20 to 90 pixels, brighter with a higher seed."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        mode, suffix = KINDS[number % len(KINDS)]
        height, width = (int(side) for side in rng.integers(20, 90, 2))
        pixels = rng.integers(20 * (seed % 7), 120 + 20 * (seed % 7), (height, width, 4), dtype=np.uint8)
        if mode == "I;16":
            image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        elif mode == "RGBA":
            image = Image.fromarray(pixels)
        else:
            image = Image.fromarray(pixels[..., :3]).convert(mode)
        image.save(folder / f"{number:03d}{suffix}")


def write_own(root: Path, train: int = 12, test: int = 3, classes: tuple[str, ...] = CLASSES, start: int = 0) -> Path:
    """Write root/{train,test}/<class>/ with as many images a class and return `root`."""
    for label, name in enumerate(classes):
        write_images(root / "train" / name, train, start + label)
        write_images(root / "test" / name, test, start + label + 100 * 7)
    return root


def write_flat(root: Path, count: int = 10, classes: tuple[str, ...] = CLASSES[:3]) -> Path:
    """Write root/<class>/ with as many images a class and return `root`."""
    for label, name in enumerate(classes):
        write_images(root / name, count, label)
    return root
