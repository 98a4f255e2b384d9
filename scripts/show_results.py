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

from omegaconf import DictConfig

from scs_study.analysis.collect import collect
from scs_study.analysis.plots.curves import curves
from scs_study.analysis.publish import study_frame
from scs_study.analysis.summary import summary, summary_text
from scs_study.command import (
    chosen_study,
    matching_runs,
    results_folder,
    results_name,
    run_command,
)
from scs_study.system.console import say
from scs_study.system.places import below_project


def main(config: DictConfig) -> int:
    """Return exit status 0. Raises ValueError when no run matches."""
    runs = below_project(config.runs)
    if config.match:
        names, name = matching_runs(config)
        frame, folder = collect(runs, names), results_folder(config, name)
    else:
        study, cells = chosen_study(config)
        frame, folder = study_frame(cells, runs), results_folder(config, results_name(study))
    say(summary_text(summary(frame, runs)))
    for path in curves(frame, runs, folder / "figures"):
        say(f"  {path}")
    return 0


if __name__ == "__main__":
    run_command(main, "replicate")
