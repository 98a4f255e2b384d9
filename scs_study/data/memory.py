"""Whether a training set fits into memory, said before it is decoded or trained on."""

from __future__ import annotations

from pathlib import Path

from scs_study.config.schema import DataConfig
from scs_study.data.image_set import DataError

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


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


def free_memory() -> int | None:
    """Return the bytes that this process may still use: the machine's and its control group's; None if not known."""
    found = []
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines() if ":" in line)
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, LookupError, ValueError):
        pass
    for limit, used, stat, cached in (
        ("memory.max", "memory.current", "memory.stat", "file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "cache"),
    ):
        try:
            numbers = dict(line.split() for line in (CGROUP / stat).read_text().splitlines())
            used_up = int((CGROUP / used).read_text()) - int(numbers[cached])  # cached files give way
            found.append(int((CGROUP / limit).read_text()) - used_up)
        except (OSError, ValueError, LookupError):  # no control groups, or "max"
            continue
    return max(0, min(found)) if found else None


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB"
