"""The cells of a grid, one after the other, and how long it waits for those that other processes are at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scs_study.experiments import work as module
from scs_study.experiments.work import POLL, GridSource
from scs_study.runs.lock import HEARTBEAT, STALE
from scs_study.runs.state import Outcome
from tests.support import work

BUSY = Outcome("busy", "another process is at it")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds pass for a source."""
    now = [0.0]
    monkeypatch.setattr(module, "_clock", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


def looks(source: GridSource, clock: Callable[[float], None], seconds: float) -> int:
    """How often a cell is looked at, and found busy, until the source is exhausted; a look takes `seconds`."""
    count = 0
    while not source.exhausted():
        clock(POLL)
        if (job := source.acquire(lambda: False)) is not None:
            clock(seconds)
            source.finish(job, BUSY)
        count += 1
        assert count < 1000
    return count


@pytest.mark.parametrize("seconds", [0.0, 1.0, 30.0])
def test_whoever_looks_slowly_looks_as_often_as_it_takes_to_see_that_an_owner_is_dead(
    tmp_path: Path, clock: Callable[[float], None], seconds: float
) -> None:
    """Of a long time without a look only a little counts for the owner's death (runs/lock.py), and so for the wait."""
    cells = [work.cell(seed=seed) for seed in range(2)]
    source = GridSource.of(cells, tmp_path, wait_timeout=2 * STALE)
    assert looks(source, clock, seconds) / len(cells) * HEARTBEAT > 2 * STALE
    assert {outcome.state for outcome in source.outcomes.values()} == {"busy"}


def test_waiting_begins_anew_with_everything_that_is_done(tmp_path: Path, clock: Callable[[float], None]) -> None:
    cells = [work.cell(seed=seed) for seed in range(2)]
    source = GridSource.of(cells, tmp_path, wait_timeout=10.0)
    first, second = source.acquire(lambda: False), source.acquire(lambda: False)
    assert first is not None
    assert second is not None
    for _ in range(10):
        source.finish(first, BUSY)
        clock(POLL)
        assert source.acquire(lambda: False) == first
    source.finish(second, Outcome("done", ""))
    source.finish(first, BUSY)
    assert not source.exhausted()
    clock(POLL)
    assert looks(source, clock, 0.0) > 2
