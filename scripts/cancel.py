"""Cancels what a study has sent to SLURM, and nothing else: python scripts/cancel.py study=quick | sweep_name=NAME

Runs in progress write a checkpoint first; `make replicate` continues them.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

from omegaconf import DictConfig

from scs_study.command import run_command
from scs_study.launch.code_snapshot import cancel, submissions
from scs_study.selection import chosen_study, refuse_match
from scs_study.system.console import say
from scs_study.system.places import below_project


def main(config: DictConfig) -> int:
    """Return exit status 0."""
    runs = below_project(config.runs)
    if config.sweep_name is None:
        refuse_match(config)
        name = chosen_study(config)[0].name
    else:
        # Imported here: Optuna takes a while, for this alone.
        from scs_study.launch.sweep import label

        name = label(str(config.sweep_name))
        if not submissions(runs, name):
            raise ValueError(f"sweep_name={config.sweep_name}: no such sweep was sent to SLURM from {runs}")
    numbers = cancel(runs, name)
    say(f"cancelled {len(numbers)} jobs: {' '.join(numbers)}" if numbers else f"{name} has no jobs in SLURM")
    return 0


if __name__ == "__main__":
    run_command(main, "status")
