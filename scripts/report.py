"""Writes the report of a study, one HTML file that opens offline: python scripts/report.py study=table3

python scripts/report.py study=table3 also=[table4]    (several studies on one page)
python scripts/report.py 'match=rohrer68k-*'    (any runs, by their names)
python scripts/report.py study=cifar10_4ep 'folders=[results/cifar10_4ep/records.jsonl.gz]'   (published ones too)
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import read_command

if __name__ == "__main__":
    command = read_command("report")  # wrong words end here, before slow imports

from omegaconf import DictConfig

from scs_study.analysis.claims.load import chosen_claims, load_claims
from scs_study.analysis.claims.speed import read_benchmark
from scs_study.config.checks import whole
from scs_study.report.drawn import draw, with_figures
from scs_study.report.gather import by_schedule, gathered
from scs_study.report.page import Section
from scs_study.report.pdf import find_browser, print_page
from scs_study.report.repeat import commands, study_line
from scs_study.report.study import NAME, Chosen, Reported, find_studies, of_studies, write_report
from scs_study.runs.context import run_context
from scs_study.selection import chosen_studies, further_runs, name_of, results_folder, runs_by_name, task_overrides
from scs_study.system.console import say
from scs_study.system.places import below_project


def main(config: DictConfig) -> int:
    """Return exit status 0. Raises ValueError for a wrong file of claims, or when no run matches."""
    every = None if config.watch is None else whole("watch", config.watch, 1)
    claims = chosen_claims(load_claims(below_project(config.file)), list(config.only))
    benchmark, results = read_benchmark(below_project(config.benchmark)), below_project(config.results)
    printer = find_browser() if config.pdf else ""
    places = [below_project(config.runs), *further_runs(config)]
    while True:
        with tempfile.TemporaryDirectory(prefix="scs_study-") as made:
            name, shown = reported(config, places, Path(made))
            file = results_folder(config, name) / NAME
            page = write_report(shown, claims, benchmark, file, results, every)
        say(f"{page.title}: {page.progress.words}; {page.tally}\n  {file}")
        if printer:
            say(f"  {print_page(file, printer)}")
        if every is None or page.refresh is None:
            return 0
        time.sleep(every)


def reported(config: DictConfig, places: Sequence[Path], made: Path) -> tuple[str, Reported]:
    """Return the name of the results folder, and what the report is of.

    made: an empty folder for the figures of runs that have none in results/.
    """
    if config.match:
        names, name = runs_by_name(config, places)
        found, title = gathered(dict.fromkeys(names), places), f"Runs {config.match}"
        line = f"ARGS={shlex.quote('match=' + shlex.quote(str(config.match)))}"
        sections = []
        for number, (words, part) in enumerate(by_schedule(found), start=1):
            draw(part, made / str(number), run_context(config), config)
            sections.append(Section(f"{name}-{number}", words, None, part.frame, made / str(number)))
        return name, Reported(title, "Report of runs", found, sections, commands(found.frame, [], line))
    studies = chosen_studies(config)
    chosen = [
        Chosen(study, subs, results_folder(config, name), study_line(study, task_overrides()))
        for name, study, subs in studies
    ]
    shown = of_studies(chosen, find_studies(chosen, places))
    sections = with_figures(shown.sections, shown.found, made, run_context(config), config)
    return name_of(studies), dataclasses.replace(shown, sections=sections)


if __name__ == "__main__":
    command.run(main)
