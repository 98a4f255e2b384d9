"""Writes the epochs of runs, finished or not, as event files of TensorBoard.

python scripts/to_tensorboard.py study=quick
python scripts/to_tensorboard.py 'match=rohrer68k-*' to=/tmp/events && tensorboard --logdir /tmp/events
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import FAILED, read_command

if __name__ == "__main__":
    command = read_command("tensorboard")  # wrong words end here, before slow imports

from omegaconf import DictConfig

from scs_study.analysis.tensorboard import write_events
from scs_study.selection import matching_runs
from scs_study.system.console import say
from scs_study.system.places import below_project


def main(config: DictConfig) -> int:
    """Return the exit status: 0 when every run was written; one with a damaged file keeps no other from that.

    Raises ValueError when no run matches, or none could be written (TensorBoard is not installed).
    """
    names, _ = matching_runs(config)
    runs, to = below_project(config.runs), below_project(config.to)
    problems = []
    for name in names:
        try:
            say(f"{name}: {write_events(runs / name, to)} epochs")
        except ValueError as error:
            problems.append(str(error))
    if len(problems) == len(names):
        raise ValueError(problems[0])
    for sentence in problems:
        say(f"error: {sentence}", error=True)
    say(f"{len(names) - len(problems)} runs: tensorboard --logdir {to}")
    return FAILED if problems else 0


if __name__ == "__main__":
    command.run(main)
