"""Device-resident batches, with an augmentation that anyone can reproduce for any step of any epoch alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scs_study.config.schema import DataConfig, TrainConfig
from scs_study.data import fused_batch
from scs_study.data.affine import draw_affine, seen_through
from scs_study.data.erasing import colours, draw_boxes, erased
from scs_study.data.image_set import ImageSet
from scs_study.data.mixing import draw_mixing, mixed
from scs_study.data.randaugment import augmented, draw_operations


@dataclass(frozen=True, eq=False)
class Plan:
    """One epoch's choices, all (N,), in the order in which the images are shown; on the CPU unless said otherwise.

    order: int64, which training image. rows, columns: int64 in 0..2*crop_padding, the upper left corner of the crop in
    the padded image. flips: bool, whether the crop is mirrored. labels: int64, on the device. starts: int64, on the
    device, the crops' first pixels in the flat list of all padded pixels. mirrored: bool (N, 1, 1, 1) on the device.
    affine: float32 (N, 2, 3) on the device, what the finished crops are seen through (data/affine.py), or None. pixels:
    uint8 (N, H, W, C) on the device, the crops after RandAugment, or None. mixing: float32 (N, 8) on the device, what
    the batches are mixed by (data/mixing.py), or None. erasing: float32 (N, 4) on the device, the boxes that are erased
    (data/erasing.py), or None.
    """

    order: Tensor
    rows: Tensor
    columns: Tensor
    flips: Tensor
    labels: Tensor
    starts: Tensor
    mirrored: Tensor
    affine: Tensor | None = None
    pixels: Tensor | None = None
    mixing: Tensor | None = None
    erasing: Tensor | None = None

    def shown(self) -> dict[str, Tensor]:
        """Return what a batch is made of, a row for each image, by name."""
        crops = ("starts", "mirrored") if self.pixels is None else ("pixels",)
        columns = {name: getattr(self, name) for name in ("labels", *crops, "affine", "mixing", "erasing")}
        return {name: values for name, values in columns.items() if values is not None}


class Batches:
    """The training batches and the test batches of one run, held on its device as uint8.

    Augmentation (systems.md 7): RandomCrop(size, padding=crop_padding) with zeros, then RandomHorizontalFlip(0.5), and
    RandomAffine where there is one, equal in law to torchvision's; size is that of the images. Inputs are v/255 in
    [0, 1] without mean or standard deviation. Where image_size is another one than the images', augmented and test
    images are resized bilinearly (align_corners=False, no antialiasing). What `recipe` adds, where it is given, comes
    after the flip (RandAugment) and at the very end (mixup or CutMix, then random erasing, whose noise has the training
    images' mean and deviation in every channel).
    """

    def __init__(
        self,
        images: ImageSet,
        data: DataConfig,
        batch_size: int,
        seed: int,
        device: torch.device | str,
        recipe: TrainConfig | None = None,
    ) -> None:
        assert batch_size > 0
        assert images.train_images.shape[1:] == images.test_images.shape[1:]
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.recipe = recipe
        self.device = torch.device(device)
        pad = data.crop_padding
        self._height, self._width, self._channels = images.train_images.shape[1:]
        self._tall, self._wide = self._height + 2 * pad, self._width + 2 * pad
        padded = F.pad(images.train_images, (0, 0, pad, pad, pad, pad)).to(self.device)
        # Each row of a crop is a run of adjacent pixels, so a crop is `height` rows of this overlapping view.
        runs = padded.numel() // self._channels - (self._width - 1)
        self._runs = padded.flatten().as_strided((runs, self._width * self._channels), (self._channels, 1))
        self._rows = torch.arange(self._height, device=self.device) * self._wide
        self._places = torch.arange(batch_size, device=self.device)
        self._train_labels = images.train_labels
        self._test_images = images.test_images.to(self.device)
        self._test_labels = images.test_labels.to(self.device)
        # A tensor on the device: dividing by a Python number is a multiplication by 1/255 on CUDA, one bit off.
        self._white = torch.tensor(255.0, device=self.device)
        self._colours: tuple[Tensor, ...] = ()
        if recipe is not None and recipe.random_erasing is not None:
            self._colours = tuple(each.to(self.device) for each in colours(images.train_images))

    @property
    def steps(self) -> int:
        """The number of batches in an epoch; the last one may be smaller, no image is left out."""
        return -(-len(self._train_labels) // self.batch_size)

    @property
    def train_images(self) -> int:
        """The number of training images."""
        return len(self._train_labels)

    @property
    def test_images(self) -> int:
        """The number of test images."""
        return len(self._test_labels)

    def plan(self, epoch: int) -> Plan:
        """Return the choices of one epoch, a pure function of seed, epoch and the number of images.

        Order, crops, flips, affine maps, operations, mixtures and boxes have a generator each: switching one of them
        off leaves the others as they are.
        """
        count = len(self._train_labels)
        pad = self.data.crop_padding
        order = torch.randperm(count, generator=self._generator(epoch, "order"))
        rows, columns = torch.randint(2 * pad + 1, (2, count), generator=self._generator(epoch, "crop"))
        if self.data.flip:
            flips = torch.rand(count, generator=self._generator(epoch, "flip")) < 0.5
        else:
            flips = torch.zeros(count, dtype=torch.bool)
        affine = None
        if self.data.affine is not None:
            generator, size = self._generator(epoch, "affine"), (self._height, self._width)
            affine = draw_affine(self.data.affine, count, size, generator).to(self.device)
        starts = ((order * self._tall + rows) * self._wide + columns).to(self.device)
        mirrored = flips[:, None, None, None].to(self.device)
        return Plan(
            order=order,
            rows=rows,
            columns=columns,
            flips=flips,
            labels=self._train_labels[order].to(self.device),
            starts=starts,
            mirrored=mirrored,
            affine=affine,
            pixels=self._augmented(epoch, starts, mirrored),
            mixing=self._mixing(epoch),
            erasing=self._erasing(epoch),
        )

    def _augmented(self, epoch: int, starts: Tensor, mirrored: Tensor) -> Tensor | None:
        if self.recipe is None or self.recipe.randaugment is None:
            return None
        operations, magnitude = self.recipe.randaugment
        drawn = draw_operations(len(starts), operations, self._generator(epoch, "randaugment"))
        return augmented(self._cropped(starts, mirrored), drawn, magnitude)

    def _mixing(self, epoch: int) -> Tensor | None:
        if self.recipe is None or not self.recipe.mixes:
            return None
        seed = self._generator(epoch, "mixing").initial_seed()
        of_batches = draw_mixing(self.recipe, epoch, self.steps, self.data.size, seed)
        return of_batches.repeat_interleave(self.batch_size, 0)[: self.train_images].to(self.device)

    def _erasing(self, epoch: int) -> Tensor | None:
        if self.recipe is None or self.recipe.random_erasing is None:
            return None
        generator = self._generator(epoch, "erasing")
        return draw_boxes(self.recipe.random_erasing, self.train_images, self.data.size, generator).to(self.device)

    def train(self, plan: Plan, step: int) -> tuple[Tensor, Tensor]:
        """Return images, float32 (B, C, H, W) in [0, 1] and channels_last, and labels, int64 (B,), of one step of an
        epoch; where its recipe mixes images, float32 (B, classes), the shares of each class.

        What erases images is noise from the process's generator.
        """
        assert 0 <= step < self.steps
        batch = slice(step * self.batch_size, (step + 1) * self.batch_size)
        return self.batch({name: values[batch] for name, values in plan.shown().items()})

    def batch(self, rows: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return images and labels, as `train` gives them, of some rows of what a plan has `shown`."""
        y, crops = rows["labels"], rows.get("pixels")
        if crops is None:
            crops = self._cropped(rows["starts"], rows["mirrored"])
        x = to_inputs(crops, self.data.size, self._white, rows.get("affine"))
        if "mixing" in rows:
            assert self.data.num_classes is not None
            x, y = mixed(x, y, rows["mixing"], self.data.num_classes)
        if "erasing" in rows:
            x = erased(x, rows["erasing"], *self._colours)
        return x.contiguous(memory_format=torch.channels_last), y

    def at(self, shown: Mapping[str, Tensor], step: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Return images and labels, as `train` gives them, of a step of what a plan has `shown`, `size` of them.

        step: its number in the epoch, int64 (1,), on the device: nothing waits for it.
        """
        plain = shown.keys() == {"labels", "starts", "mirrored"} and self.data.size == (self._height, self._width)
        if plain and fused_batch.usable(self._runs):
            rows, sides = (self.batch_size, size), (self._channels, self._height, self._width)
            return fused_batch.training_batch(self._runs, shown, step, rows, sides, self._wide, self.data.flip)
        entries = step * self.batch_size + self._places[:size]
        return self.batch({name: values.index_select(0, entries) for name, values in shown.items()})

    def _cropped(self, starts: Tensor, mirrored: Tensor) -> Tensor:
        """The crops, uint8 (B, H, W, C), of a plan's `starts` (B,) and `mirrored` (B, 1, 1, 1)."""
        rows = (starts[:, None] + self._rows).flatten()
        crops = self._runs.index_select(0, rows).view(-1, self._height, self._width, self._channels)
        return torch.where(mirrored, crops.flip(2), crops) if self.data.flip else crops

    def test(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Return the test images, `size` at a time and in canonical order, as `train` gives them but without
        augmentation.
        """
        assert size > 0
        for first in range(0, len(self._test_labels), size):
            batch = slice(first, first + size)
            yield to_inputs(self._test_images[batch], self.data.size, self._white), self._test_labels[batch]

    def _generator(self, epoch: int, purpose: str) -> torch.Generator:
        name = f"batches|{self.seed}|{epoch}|{purpose}"
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
        return torch.Generator().manual_seed(number)


def check_batch_size(batch_size: int, images: ImageSet) -> None:
    """Raise ValueError in one sentence for a batch that is larger than the training set."""
    if batch_size > len(images.train_labels):
        raise ValueError(
            f"train.batch_size={batch_size}: the training set has {len(images.train_labels)} images, and no batch can "
            f"have more; choose train.batch_size={len(images.train_labels)} or fewer"
        )


def to_inputs(
    images: Tensor, size: tuple[int, int], white: Tensor | None = None, affine: Tensor | None = None
) -> Tensor:
    """Return what networks see of images: float32 (B, C, height, width) in [0, 1], channels_last, on the same device.

    images: uint8 (B, H, W, C). size: (height, width). white: 255 as a tensor there, for callers that have one already.
    affine: (B, 2, 3), what they are seen through before they are resized.
    """
    x = (images.float() / (torch.tensor(255.0, device=images.device) if white is None else white)).permute(0, 3, 1, 2)
    x = x if affine is None else seen_through(x, affine)
    return resized(x, size).contiguous(memory_format=torch.channels_last)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images (B, C, H, W) at another size (height, width), bilinearly; as they are where it is theirs."""
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=False)
