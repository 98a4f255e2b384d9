"""What the tests of locks share."""

from __future__ import annotations

import pytest

from scs_study.runs import lock as lease
from tests.runs.observer import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lease, "_clock", made)
    return made
