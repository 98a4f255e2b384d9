"""Draws a study's error curves and layer norms from its run folders: python scripts/figures.py study=quick

python scripts/figures.py 'match=rohrer25k-scs-*'    (any runs, by their names)
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

from scs_study.analysis.collect import collect
from scs_study.analysis.publish import publish_figures, publish_matching, study_frame
from scs_study.experiments.grid import merged
from scs_study.selection import chosen_parts, matching_runs, results_folder, results_name
from scs_study.system.console import say
from scs_study.system.places import below_project


def main(config: DictConfig) -> int:
    """Return exit status 0. Raises ValueError when no run matches."""
    if config.match:
        names, name = matching_runs(config)
        frame, folder = collect(below_project(config.runs), names), results_folder(config, name)
        say(publish_matching(frame, below_project(config.runs), folder, tables=False, figures=True))
        return 0
    study, made_of = chosen_parts(config)
    runs = below_project(config.runs)
    folder = results_folder(config, results_name(study))
    say(publish_figures(made_of, study_frame(merged(study, made_of), runs), runs, folder))
    return 0


if __name__ == "__main__":
    command.run(main)
