"""Prints registers and spills of the Triton kernels of a step, compiled for sm_90, and how many kernels the step
starts, where no GPU need be.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

from scs_study.command import run_program
from scs_study.experiments.compose import compose_cell
from scs_study.system.console import say

ARCHS = ("rohrer25k", "rohrer47k", "rohrer68k", "rohrer100k", "rohrer583k")


def main() -> int:
    """Return exit status 0."""
    parser = argparse.ArgumentParser(description="registers and spills of the Triton kernels of a training step")
    parser.add_argument("archs", nargs="*", default=ARCHS, help="networks, with SCS and MaxAbsPool at 32 pixels")
    choices = {"layer": "scs", "activation": "none", "pooling": "maxabs", "data": "cifar10"}
    cells = [compose_cell({**choices, "arch": arch}, {}, 0) for arch in parser.parse_args().archs]
    # Imported here: torch takes seconds, and what is wrong is said by now.
    from tabulate import tabulate

    from scs_study.benchmark.registers import registers
    from scs_study.benchmark.step_kernels import step_kernels

    traces = {cell.arch: step_kernels(cell) for cell in cells}
    say(tabulate([asdict(row) for row in registers(traces)], "keys"))
    counts = [
        {"arch": arch, "kernels": len(each.kernels), "Triton's": len(each.starts)} for arch, each in traces.items()
    ]
    say("\nof one training step, engine=graphed:\n" + tabulate(counts, "keys"))
    return 0


if __name__ == "__main__":
    run_program(main)
