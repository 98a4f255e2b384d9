"""Lists runs by name and state, and stops, resumes, clears or deletes exactly those that it has listed.

python scripts/runs.py 'match=rohrer68k-*' state=failed
python scripts/runs.py 'match=rohrer68k-*' state=failed redo=true
python scripts/runs.py study=grid_20ep state=running stop=true
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

from omegaconf import DictConfig, ListConfig

from scs_study.command import FAILED, run_command
from scs_study.config.schema import choice, flag
from scs_study.runs.lock import Busy
from scs_study.runs.manage import ACTIONS, listed
from scs_study.runs.state import STATES
from scs_study.selection import matching_runs
from scs_study.system.console import lost, say
from scs_study.system.places import below_project


def main(config: DictConfig) -> int:
    """Return the exit status: 0 when what was asked for was done to all listed runs.

    Raises ValueError for an unknown state, for two actions at once, and when no run has such a name.
    """
    wanted = [word for word in ACTIONS if flag(word, config[word])]
    if len(wanted) > 1:
        raise ValueError(f"{wanted[0]}=true and {wanted[1]}=true: one thing at a time")
    given = config.state if isinstance(config.state, (list, ListConfig)) else [config.state]
    states = [choice("state", state, STATES) for state in given if state is not None]
    names, _ = matching_runs(config)
    runs = listed(below_project(config.runs), names, states)
    for run in runs:
        say(str(run))
    say(f"{len(runs)} of {len(names)} runs" + (f" are {' or '.join(states)}" if states else ""))
    refused = 0
    for run in runs if wanted else ():
        try:
            say(f"{run.folder.name} {ACTIONS[wanted[0]](run)}")
        except (Busy, OSError) as error:
            refused += 1
            say(f"{run.folder.name} is left as it is: {error}", error=True)
    return FAILED if refused or lost() else 0


if __name__ == "__main__":
    run_command(main, "runs")
