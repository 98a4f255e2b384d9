"""What the compiled CPU layers cost once: compiling, loading, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

_SCRIPT = """
import json, pathlib, resource, sys, time
import torch
from scs_study.layers import SharpenedCosineSimilarity2d, cpu
cpu.choose(sys.argv[1])
layer, x = SharpenedCosineSimilarity2d(3, 8, 3), torch.rand(1, 3, 8, 8)
started = time.perf_counter()
layer(x).sum().backward()
seconds = time.perf_counter() - started
status = pathlib.Path("/proc/self/status")
if status.exists():  # what resource says, Linux counts from before the process was this one
    peak = int(status.read_text().split("VmHWM:")[1].split()[0])
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([seconds, peak / 1024]))
"""


@dataclass(frozen=True)
class StartRow:
    """Seconds until a process has its first gradient, importing torch excepted, and its memory in MB then."""

    kernels: str
    first_gradient_s: float
    process_mb: float


def starts() -> list[StartRow]:
    """Return rows for torch's operations, compiled loops that have to be compiled, and such from the store."""
    rows = []
    with tempfile.TemporaryDirectory() as store:
        for name, kernels in (("torch", "plain"), ("compiled now", "auto"), ("from the store", "auto")):
            ran = subprocess.run(
                [sys.executable, "-c", _SCRIPT, kernels],
                env={**os.environ, "NUMBA_CACHE_DIR": store}, check=True, capture_output=True, text=True,
            )  # fmt: skip
            seconds, memory = json.loads(ran.stdout)
            rows.append(StartRow(name, seconds, memory))
    return rows
