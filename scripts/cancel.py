"""Cancels what a study has sent to SLURM, and nothing else: python scripts/cancel.py study=quick

Runs in progress write a checkpoint first; `make replicate` continues them.
"""

from __future__ import annotations

from omegaconf import DictConfig

from scs_study.study.command import below_project, chosen_study, run_command
from scs_study.study.submission import cancel


def main(config: DictConfig) -> int:
    """Exit status 0."""
    study, _ = chosen_study(config)
    numbers = cancel(below_project(config.runs), study.name)
    print(f"cancelled {len(numbers)} jobs: {' '.join(numbers)}" if numbers else f"{study.name} has no jobs in SLURM")
    return 0


if __name__ == "__main__":
    run_command(main, "status")
