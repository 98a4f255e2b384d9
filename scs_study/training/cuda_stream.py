"""The CUDA stream of a thread: what it computes, captures and replays runs there and on no other.

torch hands out 32 streams a device in turn, so the 33rd that is asked for is the first again: an engine that asked for
one of its own would, some cells later, capture on the stream on which another thread computes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch

MOST_THREADS = 31
"""Threads of a process that can each have a stream of their own on one device, the main thread's left out
(torch 2.15, c10/cuda/CUDAStream.h: 32 a priority)."""

_of_thread = threading.local()


def own_stream(device: torch.device) -> Any:
    """Return the calling thread's stream on a CUDA `device`, at every call the same."""
    streams: dict[str, Any] = _of_thread.__dict__
    name = str(device)
    if name not in streams:
        streams[name] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return streams[name]


@contextlib.contextmanager
def on_own_stream(device: torch.device) -> Iterator[None]:
    """Return a context whose work is put on the thread's own stream of `device`; work outside waits for it, and it for
    that.

    Also when it ends in an error: what it has started goes on writing to memory that others may be given next.
    Nothing happens where the device has no streams.
    """
    if device.type != "cuda":
        yield
        return
    outside, own = torch.cuda.current_stream(device), own_stream(device)
    own.wait_stream(outside)
    try:
        with torch.cuda.stream(own):
            yield
    finally:
        outside.wait_stream(own)
