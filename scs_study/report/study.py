"""A report from its runs to its file: what `make report` writes, and what `make replicate` ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scs_study.analysis.claims.cells import Runs
from scs_study.analysis.claims.decide import decide
from scs_study.analysis.claims.schema import ClaimFile
from scs_study.experiments.grid import Part, Study, united
from scs_study.report.gather import Gathered, gathered
from scs_study.report.page import Page, Section, page_of
from scs_study.report.repeat import commands
from scs_study.report.runs import progress_of
from scs_study.report.write import write_page

NAME = "report.html"


@dataclass(frozen=True)
class Reported:
    """What a report is of. line: what names its runs for make, such as STUDY=table3."""

    title: str
    found: Gathered
    sections: Sequence[Section]
    line: str


def of_study(study: Study, made_of: Sequence[Part], places: Sequence[Path], line: str) -> Reported:
    """Return a study's runs in `places`, a section a part, for a report. Raises ValueError when none has begun."""
    found = gathered({cell.run_name: cell.identity() for cell in united(study, made_of)}, places)
    sections = []
    for part in made_of:
        rows = found.frame[found.frame["run"].isin([cell.run_name for cell in part.cells])]
        sections.append(Section(part.study.name, part.study.title, part.study.paper, rows))
    return Reported(study.title, found, sections, line)


def write_report(
    reported: Reported, claims: ClaimFile, benchmark: pd.DataFrame, file: Path, results: Path, every: int | None = None
) -> Page:
    """Write the page to `file` and return it.

    benchmark: rows of speed.read_benchmark. results: the folder of all results. every: seconds after which a browser
    shows the page anew, as long as a run has no result.
    """
    found = reported.found
    verdicts = decide(claims, Runs(found.by_place), benchmark)
    refresh = None if progress_of(found.frame).whole else every
    lines = commands(found.frame, reported.line)
    page = page_of(reported.title, reported.sections, found.folders, verdicts, lines, file, results, refresh)
    write_page(page, file)
    return page
