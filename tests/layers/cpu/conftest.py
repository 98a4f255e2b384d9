"""Every test of the compiled layers leaves the process with the kernels that it found."""

from __future__ import annotations

import pytest

from scs_study.layers import cpu


@pytest.fixture(autouse=True)
def the_usual_kernels():
    yield
    cpu.choose("auto")
