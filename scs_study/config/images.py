"""Which images a run sees, and what is done to them: a part of its identity."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from scs_study.config.checks import choice, flag, number, whole

CLASSES = {"digits": 10, "cifar10": 10, "cifar100": 100, "mnist": 10, "fashion_mnist": 10}
"""The number of classes of each known data set (data/datasets.py has the rest)."""
GREY = ("digits", "mnist", "fashion_mnist")
"""The known data sets without colours, which networks may be shown in one channel."""
FOLDER = "folder"
"""Anybody's own images, a folder for each class (data/image_folder.py)."""
DATASETS = (*CLASSES, FOLDER)
JUDGES = ("test", "validation")
FITS = ("crop", "stretch")
MOST_PADDING = 32
"""Pixels: with more zeros around a 32x32 image some crops would show nothing of it."""
MOST_TRIM = 12
"""Pixels: what is left of 32x32 is 8x8 at least."""
AFFINE = ("degrees", "shift", "scale_low", "scale_high", "shear")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class DataConfig:
    """Which images, their size in pixels, and the augmentation of the training set (paper Appendix A).

    image_size: height and width, a number where they are equal. channels: 3, or 1 for grey images.
    test_share, split_seed: of data.name=folder, which images of every class are test images, None where the folder says
    so; of a known set, which of its training images are held out and take the place of its test images, which such a
    run never sees; None: its own test images.
    validation_share, judge: of data.name=folder without a split of its own, which images of every class are neither
    training nor test images, and whether these (validation) or the test images are what a run is judged by: one chooses
    by the former and reports the latter, of networks trained on the same images.
    trim: pixels cut off every side of a known set's 32x32 before all else; 2 leaves MNIST's own 28x28.
    affine: torchvision's RandomAffine after crop and flip: degrees, translation (a share of the side), smallest and
    largest scale, degrees of shear; None for none.
    Of data.name=folder alone, None for the known sets: fit, how an image is brought to image_size (crop: resized until
    it covers it, the middle is taken; stretch: height and width each by itself); digest: SHA-256 of the images' files
    and classes. num_classes: found in the folder, or the known set's (whatever is given).
    """

    name: str
    image_size: int | tuple[int, int]
    crop_padding: int
    flip: bool
    channels: int = 3
    fit: str | None = None
    test_share: float | None = None
    split_seed: int | None = None
    num_classes: int | None = None
    digest: str | None = None
    trim: int = 0
    affine: tuple[float, float, float, float, float] | None = None
    validation_share: float | None = None
    judge: str = JUDGES[0]

    def __post_init__(self) -> None:
        choice("data.name", self.name, DATASETS)
        if isinstance(self.image_size, tuple) and len(self.image_size) != 2:
            raise ValueError(f"data.image_size={list(self.image_size)}: must be a number, or [height, width]")
        for side in self.image_size if isinstance(self.image_size, tuple) else (self.image_size,):
            whole("data.image_size", side, 8)
        if isinstance(self.image_size, tuple) and self.image_size[0] == self.image_size[1]:
            object.__setattr__(self, "image_size", self.image_size[0])  # the same images, so the same name
        whole("data.crop_padding", self.crop_padding, 0, MOST_PADDING if self.name != FOLDER else min(self.size))
        flag("data.flip", self.flip)
        if self.channels not in (1, 3):
            raise ValueError(f"data.channels={self.channels}: must be 3, or 1 for grey images")
        self._check_affine()
        self._check_split()
        if self.name == FOLDER:
            self._check_folder()
            return
        whole("data.trim", self.trim, 0, MOST_TRIM)
        if self.channels == 1 and self.name not in GREY:
            raise ValueError(f"data.channels=1: the images of {self.name} have colours; 1 is for {', '.join(GREY)}")
        for key in ("fit", "digest"):
            if getattr(self, key) is not None:
                raise ValueError(f"data.{key}={getattr(self, key)} has no effect on data.name={self.name}")
        object.__setattr__(self, "num_classes", CLASSES[self.name])

    def _check_folder(self) -> None:
        choice("data.fit", self.fit, FITS)
        whole("data.num_classes", self.num_classes, 2)
        if not isinstance(self.digest, str) or not SHA256.fullmatch(self.digest):
            raise ValueError(f"data.digest={self.digest}: must be 64 hex digits")
        if self.trim:
            raise ValueError(f"data.trim={self.trim} has no effect on data.name={FOLDER}; see data.image_size")

    def _check_split(self) -> None:
        if (self.test_share is None) != (self.split_seed is None):
            raise ValueError("data.test_share and data.split_seed: one without the other has no effect")
        if self.test_share is not None:
            number("data.test_share", self.test_share, 0.0, 0.9, open_low=True)
            whole("data.split_seed", self.split_seed, 0)
        choice("data.judge", self.judge, JUDGES)
        if self.validation_share is not None:
            number("data.validation_share", self.validation_share, 0.0, 0.9, open_low=True)
            if self.name != FOLDER:
                raise ValueError(f"data.validation_share has no effect on data.name={self.name}; see data.test_share")
            if self.test_share is None:
                raise ValueError("data.validation_share has no effect where the folder has train/ and test/ already")
            if self.test_share + self.validation_share > 0.95:
                raise ValueError(
                    f"data.test_share={self.test_share:g} and data.validation_share={self.validation_share:g} leave "
                    f"less than a twentieth of the images to train on"
                )
        elif self.judge != JUDGES[0]:
            raise ValueError(f"data.judge={self.judge} needs data.validation_share, such as 0.2")

    def _check_affine(self) -> None:
        if self.affine is None:
            return
        if len(self.affine) != len(AFFINE):
            raise ValueError(f"data.affine={list(self.affine)}: must be null, or [{', '.join(AFFINE)}]")
        degrees, shift, low, high, shear = self.affine
        number("data.affine degrees", degrees, 0.0, 180.0)
        number("data.affine shift", shift, 0.0, 1.0)
        number("data.affine scale_low", low, 0.0, high, open_low=True)
        number("data.affine scale_high", high, 0.0)
        number("data.affine shear", shear, 0.0, 89.0)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of what networks see."""
        return self.image_size if isinstance(self.image_size, tuple) else (self.image_size, self.image_size)

    @property
    def pixels(self) -> int:
        """Pixels of an image that networks see."""
        return self.size[0] * self.size[1]

    @property
    def ends(self) -> tuple[int, int]:
        """What a network's two ends must fit: the channels of an image, and the number of classes."""
        assert self.num_classes is not None
        return self.channels, self.num_classes

    @property
    def size_words(self) -> str:
        """The size as names and tables have it: 32, or 48x40 (height x width)."""
        return size_words(self.image_size)

    @property
    def images_key(self) -> str:
        """A name for the images that are loaded: the same for two configs that differ in what happens to them later."""
        if self.name != FOLDER:  # a known set is resized in the batches
            held_out = "" if self.test_share is None else f"_held_out_{self.test_share:g}_{self.split_seed}"
            trim = f"_trim{self.trim}" if self.trim else ""
            return (self.name if self.channels == 3 else f"{self.name}_{self.channels}ch") + trim + held_out
        split = "" if self.test_share is None else f"-{self.test_share:g}-{self.split_seed}"
        if self.validation_share is not None:
            split += f"-{self.judge}-{self.validation_share:g}"
        return f"{self.name}-{str(self.digest)[:16]}-{self.size_words}-{self.channels}ch-{self.fit}{split}"

    def identity(self) -> dict[str, Any]:
        """Return the values that are part of a run's identity: those that say something about the images."""
        values = {name: getattr(self, name) for name in ("name", "image_size", "crop_padding", "flip")}
        if self.channels != 3:
            values["channels"] = self.channels
        if self.trim:
            values["trim"] = self.trim
        if self.judge != JUDGES[0]:
            values["judge"] = self.judge
        own = ("fit", "num_classes", "digest") if self.name == FOLDER else ()
        for name in (*own, "test_share", "split_seed", "validation_share", "affine"):
            if getattr(self, name) is not None:
                values[name] = getattr(self, name)
        return values


def size_words(image_size: object) -> str:
    """Return an image size in words: 32, or 48x40 (height x width)."""
    return "x".join(str(side) for side in image_size) if isinstance(image_size, (tuple, list)) else str(image_size)
