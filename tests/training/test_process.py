"""A process is prepared once, and then computes the same, faster."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from scs_study.training.process import prepare_process
prepare_process()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        kept = [torch.ones(4 * 2**20) for _ in range(4)]
        del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults(), torch.tensor([1e-40]).mul(1).item())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_memory_is_faulted_in_once_and_denormals_are_zero() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    faults, denormal = done.stdout.split()
    assert int(faults) < 1000  # of 65,536 pages that the four rounds touch
    assert float(denormal) == 0
