"""Measures and draws the saliency maps of a group of finished runs; what is done is cached in their folders.

python scripts/saliency.py study=quick saliency.min_accuracy=0
python scripts/saliency.py study=table4 saliency=smoothgrad saliency.picture=false
python scripts/saliency.py 'match=rohrer25k-*-cifar10-*'    (any runs, by their names)
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
    return run_alone("saliency", config)


if __name__ == "__main__":
    run_command(main, "replicate")
