"""A thread computes on one stream of its own, whatever happens; with a stand-in for CUDA's streams."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from scs_study.launch.registry import side_by_side_of
from scs_study.training import cuda_stream
from scs_study.training.cuda_stream import MOST_THREADS, on_own_stream, own_stream

GPU = torch.device("cuda:1")


class Stream:
    """What a stream is told to wait for is written down."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.waited_for: list[Stream] = []

    def wait_stream(self, other: Stream) -> None:
        self.waited_for.append(other)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """The stream that is current outside; new streams are stand-ins, and the current one is followed."""
    current = [Stream()]

    @contextlib.contextmanager
    def put_on(stream: Stream) -> Iterator[None]:
        current.append(stream)
        try:
            yield
        finally:
            current.pop()

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", put_on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current[-1])
    monkeypatch.setattr(cuda_stream, "_of_thread", threading.local())
    return current[0]


def test_a_thread_has_one_stream_for_all_of_its_engines_and_no_other_thread_has_it(outside: Stream) -> None:
    """torch gives the 33rd stream that is asked for to whoever asks, although the first thread still computes on it."""
    streams: list[Any] = []

    def engines() -> None:
        mine = [own_stream(GPU) for _ in range(40)]
        assert len(set(mine)) == 1
        streams.append(mine[0])

    for _ in range(2):
        thread = threading.Thread(target=engines)
        thread.start()
        thread.join()
    assert len(set(streams)) == 2


def test_work_on_it_waits_for_what_came_before_and_is_waited_for(outside: Stream) -> None:
    with on_own_stream(GPU):
        assert torch.cuda.current_stream(GPU) is own_stream(GPU)
        assert own_stream(GPU).waited_for == [outside]
        assert outside.waited_for == []
    assert outside.waited_for == [own_stream(GPU)]
    assert torch.cuda.current_stream(GPU) is outside


def test_it_is_waited_for_after_an_error_too(outside: Stream) -> None:
    with pytest.raises(RuntimeError, match="stop"), on_own_stream(GPU):
        raise RuntimeError("stop")
    assert outside.waited_for == [own_stream(GPU)]


def test_no_more_threads_than_there_are_streams() -> None:
    def asked(count: int) -> int:
        return side_by_side_of(OmegaConf.create({"launch": {"side_by_side": count}}))

    assert asked(MOST_THREADS) == MOST_THREADS
    with pytest.raises(ValueError, match=rf"launch\.side_by_side={MOST_THREADS + 1}: at most {MOST_THREADS}"):
        asked(MOST_THREADS + 1)
