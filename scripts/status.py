"""Prints where every cell of a study stands, and its cluster jobs: python scripts/status.py study=quick [--wait]

Cells are listed as their settings name them; whether their networks can be built is asked when they are to be run.
Of a sweep: sweep_name=NAME, the name that scripts/sweep.py prints.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

from omegaconf import DictConfig

from scs_study.command import FAILED, run_command
from scs_study.experiments.grid import with_parents
from scs_study.launch.monitor import monitor_study
from scs_study.launch.status import jobs_text, status_text
from scs_study.selection import chosen_study, refuse_match
from scs_study.system.console import lost, say
from scs_study.system.places import below_project
from scs_study.training.run_dir import FINAL_STATES


def main(config: DictConfig) -> int:
    """Return the exit status: 0, or 1 after waiting when cells are left without a result, or when nobody could be
    told.
    """
    if config.sweep_name is not None:
        return of_sweep(str(config.sweep_name), config.storage, below_project(config.runs), config.wait)
    refuse_match(config)
    study, chosen = chosen_study(config)
    cells = with_parents(chosen)
    runs = below_project(config.runs)
    outcomes = monitor_study(study.name, cells, runs) if config.wait else {}
    say(status_text(cells, runs))
    if jobs := jobs_text(cells, runs):
        say(jobs)
    left = any(outcome.state not in FINAL_STATES for outcome in outcomes.values())
    return FAILED if left or lost() else 0


def of_sweep(name: str, url: str | None, runs: Path, wait: bool) -> int:
    """Return the exit status, as of `main`, for the trials of the sweep's study `name`."""
    # Imported here: Optuna takes a while, for this alone.
    from scs_study.launch import sweep

    if wait:
        sweep.monitor_sweep(name, url, runs)
    say(sweep.status(name, url, runs))
    return FAILED if lost() or (wait and sweep.unfinished(name, url, runs)) else 0


if __name__ == "__main__":
    run_command(main, "status", flags={"--wait": "wait=true"})
