"""Any image file as the pixels of a given size and number of channels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from scs_study.data.image_set import DataError, Pixels

SUFFIXES = (".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")
"""Of image files, in lower case: torchvision's ImageFolder takes the same."""
ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def fitted(path: Path, content: bytes, size: tuple[int, int], channels: int, fit: str) -> Pixels:
    """Return the image in a file's `content`, uint8 (height, width, channels).

    size: (height, width). channels: 3 (grey ones are repeated) or 1 (colours by ITU-R 601's luma). fit: crop (the
    middle part of the wanted shape, resized) or stretch (height and width each by itself); bilinear, averaging where it
    shrinks.
    Turned as the camera says (EXIF); what is transparent shows black; of 16 bits the upper 8 are taken.
    Raises DataError naming `path`.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            flat = _eight_bits(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
            wanted = (size[1], size[0])
            if flat.size != wanted:
                bilinear = Image.Resampling.BILINEAR
                flat = ImageOps.fit(flat, wanted, bilinear) if fit == "crop" else flat.resize(wanted, bilinear)
            return np.asarray(flat, np.uint8).reshape(*size, channels)
    except Exception as error:  # a damaged file can make a decoder fail in any way
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as an image: {reason or type(error).__name__}") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image without transparency and with at most 8 bits a channel."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() >= 2**16:
            raise ValueError(f"its values go from {values.min()} to {values.max()}, beyond 16 bits")
        return Image.fromarray((values.astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 bits a channel")
    if image.mode in ALPHA or "transparency" in image.info:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA"))
    return image
