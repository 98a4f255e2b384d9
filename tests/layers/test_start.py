"""Triton kernels are started where their tensors are, and left alone where none can be started."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch

from scs_study.layers.kernels import fused, start
from scs_study.training import fused_adam

GPU = torch.device("cuda:1")


class Recorded:
    """A stand-in for a kernel: what it is started with, and on which device."""

    def __init__(self) -> None:
        self.current: list[torch.device] = []
        self.started: list[tuple[object, ...]] = []

    def __getitem__(self, grid: tuple[int]) -> Recorded:
        self.started.append(grid)
        return self

    def __call__(self, *arguments: object, **constants: object) -> None:
        self.started.append((self.current[-1], *arguments, constants))


def test_a_kernel_is_started_on_the_device_of_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton takes the current device: with engine.device=cuda:1 the first one's."""
    kernel = Recorded()

    @contextlib.contextmanager
    def device(which: torch.device) -> Iterator[None]:
        kernel.current.append(which)
        yield
        kernel.current.pop()

    monkeypatch.setattr(torch.cuda, "device", device)
    start.launch(kernel, 3, GPU, "x", ROWS=4)
    assert kernel.started == [(3,), (GPU, "x", {"ROWS": 4})]
    assert kernel.current == []


@pytest.mark.skipif(not start.HAVE_TRITON, reason="torch comes without Triton on this system")
def test_where_triton_cannot_start_torchs_operations_are_used_and_the_reason_is_said_once() -> None:
    """For real: no kernel starts on a CPU, as none does where a compiler or Python's headers are missing."""
    start.triton_starts.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"torch's operations compute them, more slowly: \w+") as said:
            assert [start.triton_starts(torch.device("cpu")) for _ in range(3)] == [False] * 3
        assert len(said) == 1
    finally:
        start.triton_starts.cache_clear()


def test_what_asks_whether_kernels_can_be_used_asks_whether_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnGpu(torch.Tensor):
        is_cuda = True

    x = torch.zeros(1, 3, 2, 2).as_subclass(OnGpu)
    for starts in (True, False):
        monkeypatch.setattr(fused, "triton_starts", lambda device, starts=starts: starts)
        monkeypatch.setattr(fused_adam, "triton_starts", lambda device, starts=starts: starts)
        assert fused.usable(x) is starts
        assert fused_adam.usable(x) is starts
