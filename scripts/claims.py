"""Holds the claims of the paper against runs, and prints and writes the verdicts: python scripts/claims.py study=paper

python scripts/claims.py                                                 (all runs of the folder)
python scripts/claims.py study=table3 also=[table4]                      (several studies together)
python scripts/claims.py 'match=rohrer47k-*' runs=elsewhere only=[1,6]   (any runs, by their names)
python scripts/claims.py 'folders=[results/cifar10_4ep/records.jsonl.gz]'   (and published records, or further folders)
python scripts/claims.py published=true       (of everything published in results/: results/claims, README.md)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import read_command

if __name__ == "__main__":
    command = read_command("claims")  # wrong words end here, before slow imports

from omegaconf import DictConfig

from scs_study.analysis.claims.cells import Runs
from scs_study.analysis.claims.decide import decide
from scs_study.analysis.claims.load import chosen_claims, load_claims
from scs_study.analysis.claims.speed import read_benchmark
from scs_study.analysis.claims.table import tally, write_claims
from scs_study.analysis.collect import collect
from scs_study.experiments.grid import merged
from scs_study.report.gather import sought
from scs_study.report.published import publish_verdicts
from scs_study.selection import chosen_studies, further_runs, name_of, names_studies, results_folder, runs_by_name
from scs_study.system.console import say
from scs_study.system.places import below_project


def main(config: DictConfig) -> int:
    """Return exit status 0. Raises ValueError for a wrong file of claims, or when no run matches."""
    file = chosen_claims(load_claims(below_project(config.file)), list(config.only))
    benchmark = read_benchmark(below_project(config.benchmark))
    if config.published:
        check_alone(config)
        verdicts, paths = publish_verdicts(file, below_project(config.results), benchmark)
    else:
        runs, name = chosen_runs(config)
        verdicts = decide(file, runs, benchmark)
        paths = list(write_claims(verdicts, results_folder(config, name) / "tables", file.title))
    for verdict in verdicts:
        say(f"{verdict.claim.id:>3}  {verdict.word:<26} {verdict.claim.sentence}")
    say(f"\n{file.title}: {tally(verdicts)}")
    for path in paths:
        say(f"  {path}")
    return 0


def check_alone(config: DictConfig) -> None:
    """Raise ValueError where published=true stands beside what chooses other runs, or fewer claims."""
    others = {"match": config.match, "folders": list(config.folders), "only": list(config.only)}
    others |= {"study": names_studies(), "also": list(config.also)}
    given = [key for key, value in others.items() if value]
    if given:
        raise ValueError(f"{given[0]} has no effect beside published=true, which takes all records and all claims")


def chosen_runs(config: DictConfig) -> tuple[Runs, str]:
    """Return the runs that the command line means, each from the first folder that has it, and where results go."""
    places = [below_project(config.runs), *further_runs(config)]
    if config.match:
        names, name = runs_by_name(config, places)
        return Runs(sought(dict.fromkeys(names), places).by_place), name
    if names_studies():
        studies = chosen_studies(config)
        cells = [cell for _, study, subs in studies for cell in merged(study, subs)]
        planned = {cell.run_name: cell.identity() for cell in cells}
        return Runs(sought(planned, places).by_place), name_of(studies)
    if config.also:
        raise ValueError(f"also={list(config.also)} has no effect without study=..., which is the first of several")
    return Runs({place: collect(place) for place in places}), "claims"


if __name__ == "__main__":
    command.run(main)
