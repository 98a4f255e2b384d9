"""The clock of whoever looks at a lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from scs_study.runs import lock as lease
from scs_study.runs.lock import Busy, acquire


class Clock:
    """The observer's clock, which goes on when it is told to: no test waits for a heartbeat to be missed."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def silence(self, folder: Path, heartbeats: lease.Heartbeats, seconds: float) -> None:
        """Look for that many seconds for a sign of life of the owner, who has the run all the time."""
        for _ in range(round(seconds)):
            self.now += 1
            with pytest.raises(Busy):
                acquire(folder, heartbeats)
