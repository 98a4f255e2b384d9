"""Leaves in results/<study> what belongs in the repository: tables, PNG figures and the records of its finished runs.

The verdicts of all that is published then (results/claims) and the tables that pages show follow.

python scripts/publish.py study=grid_20ep seed=0    (one compressed file of records, no path or host name in it)
python scripts/publish.py study=grid_20ep unpack=FOLDER    (the published runs as run folders, for the other commands)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import read_command

if __name__ == "__main__":
    command = read_command("publish")  # wrong words end here, before slow imports

from omegaconf import DictConfig

from scs_study.analysis.claims.load import load_claims
from scs_study.analysis.claims.speed import read_benchmark
from scs_study.analysis.claims.table import tally
from scs_study.analysis.publish import publish_figures, publish_tables, study_frame
from scs_study.evaluation.published import NUMBERS, evaluated
from scs_study.experiments.grid import merged
from scs_study.report.published import publish_verdicts
from scs_study.runs.archive import RECORDS, pack, place_weights, unpack
from scs_study.runs.state import run_states
from scs_study.selection import chosen_sub_studies, results_folder
from scs_study.system.console import say
from scs_study.system.places import below_project, user_path


def main(config: DictConfig) -> int:
    """Return exit status 0. Raises ValueError when no run of the study is finished, or there are no records."""
    study, subs = chosen_sub_studies(config)
    # Under the study's own name whatever seeds were chosen: what is published grows as seeds are complete.
    folder, runs = results_folder(config, study.name), below_project(config.runs)
    if config.unpack is not None:
        names = unpack(folder / RECORDS, user_path("unpack", config.unpack))
        say(f"{len(names)} runs in {config.unpack}")
        return 0
    cells = merged(study, subs)
    done = [name for name, state in run_states(runs, cells).items() if state.final]
    if not done:
        raise ValueError(f"none of the study's {len(cells)} runs in {runs} is finished")
    cells = [cell for cell in cells if cell.run_name in set(done)]
    frame = study_frame(cells, runs)
    say(publish_tables(subs, frame, runs, folder))
    say(publish_figures(subs, frame, runs, folder))
    for path in (*folder.rglob("*.pdf"), *folder.rglob("*.tex")):  # for a paper: make figures, make tables
        path.unlink()
    pack(runs, done, folder / RECORDS, numbers=NUMBERS)
    say(f"  {folder / RECORDS}: {len(done)} runs")
    for path in place_weights(runs, evaluated(runs, done), folder / RECORDS):
        say(f"  {path}")
    verdicts, paths = publish_verdicts(load_claims(), below_project(config.results), read_benchmark())
    say("\n".join([tally(verdicts), *(f"  {path}" for path in paths)]))
    return 0


if __name__ == "__main__":
    command.run(main)
