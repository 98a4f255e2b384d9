"""Draws the kernels of finished runs, and what every layer answers to a test image; cached in the runs' folders.

python scripts/feature_maps.py study=mnist_small            (the runs of the lowest seed)
python scripts/feature_maps.py 'match=tied12-scs-*'         (any runs, by their names)
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
    """Return the exit status: 0 when every finished run could be read. Raises ValueError when no run matches."""
    return run_alone("feature_maps", config)


if __name__ == "__main__":
    run_command(main, "replicate")
