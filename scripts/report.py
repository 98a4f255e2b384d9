"""Writes the report of a study, one HTML file that opens offline: python scripts/report.py study=table3

python scripts/report.py 'match=rohrer68k-*'    (any runs, by their names)
python scripts/report.py study=cifar10_4ep 'folders=[results/cifar10_4ep/records.jsonl.gz]'   (published ones too)
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

from omegaconf import DictConfig

from scs_study.analysis.claims.cells import Runs
from scs_study.analysis.claims.decide import decide
from scs_study.analysis.claims.load import chosen_claims, load_claims
from scs_study.analysis.claims.speed import read_benchmark
from scs_study.command import (
    chosen_parts,
    further_runs,
    matching_runs,
    results_folder,
    results_name,
    run_command,
    settings_to_repeat,
)
from scs_study.config.checks import whole
from scs_study.experiments.grid import united
from scs_study.report.gather import Gathered, gathered
from scs_study.report.page import Section, page_of
from scs_study.report.pdf import find_browser, print_page
from scs_study.report.repeat import commands
from scs_study.report.runs import progress_of
from scs_study.report.write import write_page
from scs_study.system.console import say
from scs_study.system.places import below_project

NAME = "report.html"


def main(config: DictConfig) -> int:
    """Exit status 0. Raises ValueError for a wrong file of claims, or when no run matches."""
    every = config.watch
    if every is not None:
        whole("watch", every, 1)
    file = chosen_claims(load_claims(below_project(config.file)), list(config.only))
    printer = find_browser() if config.pdf else ""
    places = [below_project(config.runs), *further_runs(config)]
    while True:
        title, name, found, sections, line = chosen_sections(config, places)
        place = results_folder(config, name) / NAME
        verdicts = decide(file, Runs(found.by_place), read_benchmark(below_project(config.benchmark)))
        refresh = None if every is None or progress_of(found.frame).whole else every
        page = page_of(
            title, sections, found.folders, verdicts, commands(found.frame, line), place, below_project(config.results),
            refresh,
        )  # fmt: skip
        say(f"{page.title}: {page.progress.words}; {page.tally}\n  {write_page(page, place)}")
        if printer:
            say(f"  {print_page(place, printer)}")
        if refresh is None:
            return 0
        time.sleep(refresh)


def chosen_sections(config: DictConfig, places: Sequence[Path]) -> tuple[str, str, Gathered, list[Section], str]:
    """Return the report's title, its results folder's name, the runs, their sections, and what names them for make."""
    if config.match:
        names, name = matching_runs(config, places)
        found = gathered(dict.fromkeys(names), places)
        return (
            f"Runs {config.match}",
            name,
            found,
            [Section(name, f"Runs {config.match}", None, found.frame)],
            (f"ARGS={shlex.quote('match=' + shlex.quote(str(config.match)))}"),
        )
    study, made_of = chosen_parts(config)
    found = gathered({cell.run_name: cell.identity() for cell in united(study, made_of)}, places)
    sections = []
    for part in made_of:
        rows = found.frame[found.frame["run"].isin([cell.run_name for cell in part.cells])]
        sections.append(Section(part.study.name, part.study.title, part.study.paper, rows))
    settings = settings_to_repeat()
    line = f"STUDY={study.name}" + (f" ARGS={shlex.quote(' '.join(map(shlex.quote, settings)))}" if settings else "")
    return study.title, results_name(study), found, sections, line


if __name__ == "__main__":
    run_command(main, "report")
