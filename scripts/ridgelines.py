"""Draws the distributions of weights, p and q over the epochs, a figure a run, finished or not.

python scripts/ridgelines.py study=quick
python scripts/ridgelines.py 'match=rohrer25k-scs-*'    (any runs, by their names)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import read_command

if __name__ == "__main__":
    command = read_command("replicate")  # wrong words end here, before slow imports

from omegaconf import DictConfig

from scs_study.analysis.plots.ridgelines import ridgelines
from scs_study.selection import matching_runs, results_folder
from scs_study.system.console import say
from scs_study.system.places import below_project


def main(config: DictConfig) -> int:
    """Return exit status 0. Raises ValueError when no run matches."""
    runs = below_project(config.runs)
    names, name = matching_runs(config)
    for run in names:
        for path in ridgelines(runs / run, results_folder(config, name) / "figures" / "ridgelines"):
            say(f"  {path}")
    return 0


if __name__ == "__main__":
    command.run(main)
