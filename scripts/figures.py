"""Draws a study's error curves and layer norms from its run folders: python scripts/figures.py study=quick

python scripts/figures.py 'match=rohrer25k-scs-*'    (any runs, by their names)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

from omegaconf import DictConfig

from scs_study.command import run_command, write_results


def main(config: DictConfig) -> int:
    """Return exit status 0. Raises ValueError when no run matches."""
    return write_results(config, figures=True)


if __name__ == "__main__":
    run_command(main, "replicate")
