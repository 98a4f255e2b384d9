"""A batch cut twice: into chunks, one after the other, that a cache holds; and a chunk into shares, one a thread.

The compiled loops run on threads of Python that hold no lock meanwhile, as many as torch is told to use. The cuts
depend on sizes and on the number of threads only, so that results do too.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch


def chunks(batch: int, elements: int, most: int) -> Iterator[slice]:
    """Yield about equal slices of a batch, of at most `most` elements a thread where a sample has `elements`.

    What is not twice as large stays whole: a convolution loses more by being cut in two.
    """
    threads = torch.get_num_threads()
    largest = batch if batch * elements <= 2 * most * threads else max(1, most * threads // elements)
    size = -(-batch // -(-batch // largest))
    for start in range(0, batch, size):
        yield slice(start, min(start + size, batch))


def in_shares(chunk: slice, work: Callable[[int, slice, slice], None]) -> None:
    """Call work(index, its part of the chunk, the same part of the batch) for each share; return when all are done."""
    batch = chunk.stop - chunk.start
    threads = min(torch.get_num_threads(), batch)
    if threads == 1:
        work(0, slice(0, batch), chunk)
        return
    shares = []
    for start, stop in itertools.pairwise(batch * index // threads for index in range(threads + 1)):
        shares.append((slice(start, stop), slice(chunk.start + start, chunk.start + stop)))
    others = [_pool(threads - 1).submit(work, index, *share) for index, share in enumerate(shares[1:], start=1)]
    work(0, *shares[0])
    for other in others:
        other.result()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="scs_study-layers")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a fork takes no threads along
