"""Mixup and CutMix as a row of numbers for each image: drawn by torchvision, put on the device with an epoch's plan."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from scs_study.config.schema import TrainConfig
from scs_study.system.randomness import own_random_state

COLUMNS = ("keep", "take", "label_keep", "label_take", "left", "top", "right", "bottom")
"""Inside the box an image is keep * itself + take * the one before it in its batch; the label's shares are of both."""
UNMIXED = (1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def draw_mixing(recipe: TrainConfig, epoch: int, steps: int, size: tuple[int, int], seed: int) -> Tensor:
    """Return what an epoch's batches are mixed by, float32 (steps, 8): COLUMNS.

    Of both mixup and CutMix each batch has one, with equal chances. size: height and width of what networks see. seed:
    of the draws, which are torchvision's own.
    """
    assert recipe.mixes
    if recipe.mix_share is not None and epoch > round(recipe.mix_share * recipe.epochs):
        return torch.tensor(UNMIXED).repeat(steps, 1)
    from torchvision.transforms import v2  # takes seconds to import, which only a run that mixes should pay

    mixup = None if recipe.mixup is None else v2.MixUp(alpha=recipe.mixup, num_classes=1)
    cutmix = None if recipe.cutmix is None else v2.CutMix(alpha=recipe.cutmix, num_classes=1)
    height, width = size
    image, rows = torch.empty(1, 1, height, width), []
    with own_random_state(seed):
        for _ in range(steps):
            if mixup is not None and (cutmix is None or float(torch.rand(())) < 0.5):
                share = mixup.make_params([])["lam"]
                rows.append((share, 1.0 - share, share, 1.0 - share, 0.0, 0.0, width, height))
            else:
                assert cutmix is not None
                drawn = cutmix.make_params([image])
                rows.append((0.0, 1.0, drawn["lam_adjusted"], 1.0 - drawn["lam_adjusted"], *drawn["box"]))
    return torch.tensor(rows, dtype=torch.float32)


def mixed(x: Tensor, y: Tensor, mixing: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return a batch of images (B, C, H, W), and their classes' shares, float32 (B, classes), each mixed with the one
    before it.

    y: int64 (B,). mixing: (B, 8), COLUMNS.
    """
    keep, take, label_keep, label_take, left, top, right, bottom = mixing.unbind(1)
    both = x.roll(1, 0) * take[:, None, None, None] + x * keep[:, None, None, None]
    shares = one_hot(y, classes).float()
    labels = shares.roll(1, 0) * label_take[:, None] + shares * label_keep[:, None]
    return torch.where(in_box(x, left, top, right, bottom), both, x), labels


def in_box(x: Tensor, left: Tensor, top: Tensor, right: Tensor, bottom: Tensor) -> Tensor:
    """Return which pixels of images (B, C, H, W) lie in a box of each, whose sides are (B,): bool (B, 1, H, W)."""
    rows, columns = (torch.arange(side, device=x.device) for side in x.shape[2:])
    tall = (rows >= top[:, None]) & (rows < bottom[:, None])
    wide = (columns >= left[:, None]) & (columns < right[:, None])
    return tall[:, None, :, None] & wide[:, None, None, :]
