"""Attacks finished runs, writes table and figures: python scripts/robustness.py study=cifar10_short

python scripts/robustness.py 'match=rohrer100k-*' attack=short    (any runs, by their names; a first look on a CPU)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import FAILED, read_command

if __name__ == "__main__":
    command = read_command("robustness")  # wrong words end here, before slow imports

from omegaconf import DictConfig

from scs_study.analysis.collect import collect
from scs_study.analysis.registry import Subject, find_analysis, run_analysis
from scs_study.runs.context import run_context
from scs_study.selection import matching_runs, results_folder
from scs_study.training.process import prepare_process


def main(config: DictConfig) -> int:
    """Return the exit status: 0 when every finished run has been attacked. Raises ValueError when no run matches."""
    prepare_process()
    analysis, context = find_analysis("robustness"), run_context(config)
    names, name = matching_runs(config)
    frame, folder = collect(context.runs, names), results_folder(config, name)
    subject = Subject(frame, context.runs, folder, context, config)
    return FAILED if run_analysis("robustness", analysis, subject) else 0


if __name__ == "__main__":
    command.run(main)
