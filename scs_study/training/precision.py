"""The precision of a run's matrix products: float32, TF32 or bfloat16 (train.numerics)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def numerics(name: str, device: torch.device) -> Iterator[None]:
    """Return a context with the declared precision of matrix products, and sums in the same order at every run.

    Raises ValueError where the precision has no effect. cuBLAS takes its part from the environment, once a process
    (`system.environment`).
    """
    if name == "tf32" and device.type != "cuda":
        raise ValueError(f"train.numerics=tf32 has no effect on {device.type}: it needs a CUDA device")
    if device.type == "cuda":
        # torch lets cuDNN use TF32 unless told otherwise, and float32 here means float32.
        torch.backends.cudnn.allow_tf32 = name == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        # cuDNN may choose algorithms whose sums differ from run to run: a resumed run's bits would be others.
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=name == "bf16"):
        yield
