"""Attacks finished runs, writes table and figures; what is done is cached in their folders.

python scripts/robustness.py study=cifar10_short
python scripts/robustness.py 'match=rohrer100k-*' attack=short    (any runs, by their names; a first look on a CPU)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

from omegaconf import DictConfig

from scs_study.command import run_alone, run_command


def main(config: DictConfig) -> int:
    """Return the exit status: 0 when every finished run has been attacked. Raises ValueError when no run matches."""
    return run_alone("robustness", config)


if __name__ == "__main__":
    run_command(main, "replicate")
