"""Prints where every cell of a study stands, and its cluster jobs: python scripts/status.py study=quick [wait=true]"""

from __future__ import annotations

from omegaconf import DictConfig

from scs_study.study.command import FAILED, below_project, chosen_study, run_command
from scs_study.study.slurm import follow
from scs_study.study.status import jobs_text, status_text
from scs_study.training.record import FINAL_STATES


def main(config: DictConfig) -> int:
    """The exit status: 0, or 1 after waiting when cells are left without a result."""
    study, cells = chosen_study(config)
    runs = below_project(config.runs)
    outcomes = follow(study.name, cells, runs) if config.wait else {}
    print(status_text(cells, runs))
    if jobs := jobs_text(cells, runs):
        print(jobs)
    return FAILED if any(outcome.state not in FINAL_STATES for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    run_command(main, "status")
