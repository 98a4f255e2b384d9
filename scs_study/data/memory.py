"""Whether a training set fits into memory, said before it is decoded or trained on."""

from __future__ import annotations

from scs_study.config.schema import DataConfig
from scs_study.data.image_set import DataError
from scs_study.system.memory import free_memory


def check_memory(what: str, counts: tuple[int, int], data: DataConfig) -> None:
    """Do nothing where there is room, or nobody knows. Raises DataError in one sentence.

    counts: training and test images. They are held as bytes, the training images with the border that crops need.
    """
    height, width = data.size
    pad = 2 * data.crop_padding
    need = data.channels * (counts[0] * (height + pad) * (width + pad) + counts[1] * height * width)
    free = free_memory()
    if free is not None and need > free:
        shape = f"{height}x{width} pixels and {data.channels} channels"
        raise DataError(
            f"{what} need {_gigabytes(need)} of memory ({counts[0]} + {counts[1]} images of {shape}), "
            f"and {_gigabytes(free)} are free: choose a smaller data.image_size, or fewer images"
        )


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB"
