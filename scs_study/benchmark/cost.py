"""What a training step costs beside its time: memory, kernels, and the least time that its traffic would take."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from scs_study.benchmark.step import seconds_of
from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d

COPIED = 1 << 28
"""The most bytes copied to measure how fast the device's memory is: more than any cache holds."""
PASSES = 3
"""Over what a layer reads and writes in a training step: forward, the gradient to its input, that to its weights."""

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler reports itself on standard error otherwise


def peak_bytes(work: Callable[[], None], device: torch.device) -> int:
    """Return the most memory that `work` had allocated at once beyond what was allocated before, in bytes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    assert profiled.profiler is not None
    assert profiled.profiler.kineto_results is not None
    held = peak = 0
    for event in sorted(profiled.profiler.kineto_results.events(), key=lambda each: each.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def kernel_count(work: Callable[[], None], device: torch.device) -> int | None:
    """Return how many kernels `work` starts on a CUDA device, those that a graph replays included; None on another
    device.
    """
    if device.type != "cuda":
        return None
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiled:
        work()
        torch.cuda.synchronize(device)
    events = profiled.events() or []
    copies = ("Memcpy", "Memset")
    return sum(
        str(event.device_type) == "DeviceType.CUDA"
        and not event.is_user_annotation  # a range that somebody named, shown where its kernels are
        and not event.name.startswith(copies)
        for event in events
    )


def floor_seconds(network: nn.Module, x: Tensor) -> float:
    """Return the least time of a training step on x (B, C, H, W), were everything pointwise fused: memory traffic only.

    What every convolution, sharpened layer and pool reads and writes, PASSES times, at the speed at which this device
    copies as much memory again and again: what fits its cache is copied faster, and so is a small step's.
    """
    moved = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal moved
        moved += sum(each.numel() * each.element_size() for each in (*inputs, output))

    counted = (nn.Conv2d, nn.MaxPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d, MaxAbsPool2d)
    hooks = [each.register_forward_hook(count) for each in network.modules() if isinstance(each, counted)]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return PASSES * moved / bytes_per_second(x.device, moved)


def bytes_per_second(device: torch.device, touched: int = COPIED) -> float:
    """Return how many bytes the device reads and writes in a second when it copies memory: the best of five copies.

    touched: bytes that a copy reads and writes together, at most 2 * COPIED.
    """
    source = torch.zeros(max(1, min(touched // 2, COPIED) // 4), device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)

    return 2 * source.nbytes / min(seconds_of(copy, device) for _ in range(5))
