"""Checks of the Triton operators that run in a process of their own, where Triton interprets its kernels on the CPU.

python -m tests.layers.fused prints, as JSON, what each of the checks found wrong: {name: "" or a sentence}, and
ends with 1 where that is anything. With a device, such as cuda, the tensors are on it, and Triton's kernels run there.
"""

from __future__ import annotations

import json
import sys
import traceback

import torch

from scs_study.layers.kernels import fused
from tests.layers.fused import layer_checks, step_checks


def main(device: str = "cpu") -> int:
    """Print what each check found wrong; return the exit status."""
    torch.set_num_threads(1)
    torch.set_default_device(device)
    # Triton is not everywhere, and where it is it takes a second to import.
    assert "scs_study.layers.kernels.layer_kernels" not in sys.modules
    if device == "cpu":
        fused.FEWEST_PROGRAMS = 1  # a program takes the interpreter milliseconds, whatever it does
    said = {}
    for name, check in {**layer_checks.CHECKS, **step_checks.CHECKS}.items():
        try:
            check()
            said[name] = ""
        except Exception:
            said[name] = traceback.format_exc()
    print(json.dumps(said))
    return int(any(said.values()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
