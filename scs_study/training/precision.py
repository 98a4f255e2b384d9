"""The precision of a run's matrix products: float32, TF32 or bfloat16 (train.numerics)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def numerics(name: str, device: torch.device) -> Iterator[None]:
    """A context with the declared precision of matrix products. Errors: ValueError where it has no effect."""
    if name == "tf32" and device.type != "cuda":
        raise ValueError(f"train.numerics=tf32 has no effect on {device.type}: it needs a CUDA device")
    if device.type == "cuda":
        # torch lets cuDNN use TF32 unless told otherwise, and float32 here means float32.
        torch.backends.cudnn.allow_tf32 = name == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=name == "bf16"):
        yield
