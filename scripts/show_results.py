"""Prints the test errors of a group of runs, finished or not, and draws their error curves; usable while they train.

python scripts/show_results.py study=quick
python scripts/show_results.py 'match=rohrer25k-scs-*'    (any runs, by their names)
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

from scs_study.analysis.plots.curves import curves
from scs_study.analysis.summary import summary, summary_text
from scs_study.selection import chosen_frame, results_folder
from scs_study.system.console import say
from scs_study.system.places import below_project


def main(config: DictConfig) -> int:
    """Return exit status 0. Raises ValueError when no run matches."""
    runs = below_project(config.runs)
    frame, name = chosen_frame(config)
    folder = results_folder(config, name)
    say(summary_text(summary(frame, runs)))
    for path in curves(frame, runs, folder / "figures"):
        say(f"  {path}")
    return 0


if __name__ == "__main__":
    command.run(main)
