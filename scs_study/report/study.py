"""A report from its runs to its file: what `make report` writes, and what `make replicate` ends with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scs_study.analysis.claims.cells import Runs
from scs_study.analysis.claims.decide import decide
from scs_study.analysis.claims.schema import ClaimFile
from scs_study.analysis.registry import results_of
from scs_study.config.schema import CellConfig
from scs_study.experiments.grid import Study, SubStudy, merged
from scs_study.report.gather import Gathered, gathered
from scs_study.report.page import Page, Section, page_of
from scs_study.report.repeat import commands, study_lines
from scs_study.report.runs import progress_of
from scs_study.report.write import write_page

NAME = "report.html"


@dataclass(frozen=True)
class Reported:
    """What a report is of. kind: in a few words. repeat: the commands that compute its runs and write it again."""

    title: str
    kind: str
    found: Gathered
    sections: Sequence[Section]
    repeat: Sequence[str]


@dataclass(frozen=True)
class Chosen:
    """A study and what it is made of. results: its folder in results/. line: what names it for make (STUDY=table3)."""

    study: Study
    subs: Sequence[SubStudy]
    results: Path
    line: str

    @property
    def cells(self) -> list[CellConfig]:
        """Its cells, each once."""
        return merged(self.study, self.subs)


def find_studies(chosen: Sequence[Chosen], places: Sequence[Path]) -> Gathered:
    """Return the runs of studies, each from the first place that has it. Raises ValueError when none has begun."""
    return gathered({cell.run_name: cell.identity() for each in chosen for cell in each.cells}, places)


def of_studies(chosen: Sequence[Chosen], found: Gathered) -> Reported:
    """Return what a report of studies is of: a section for each of their sub-studies. found: their runs."""
    several = len(chosen) > 1
    lines = [each.line for each in chosen]
    return Reported(
        title=", ".join(each.study.name for each in chosen) if several else chosen[0].study.title,
        kind=f"Report of {len(chosen)} studies" if several else "Report of a study",
        found=found,
        sections=[section for each in chosen for section in _sections(each, found.frame, several)],
        repeat=commands(found.frame, lines, study_lines(lines)),
    )


def _sections(chosen: Chosen, frame: pd.DataFrame, several: bool) -> list[Section]:
    """The sections of a study; where there are several, one that has another name says whose it is."""
    sections = []
    for sub in chosen.subs:
        own = not several or sub.study.name == chosen.study.name
        sections.append(
            Section(
                name=sub.study.name if own else f"{chosen.study.name}-{sub.study.name}",
                title=sub.study.title if own else f"{chosen.study.name}: {sub.study.title}",
                paper=sub.study.paper,
                frame=frame[frame["run"].isin([cell.run_name for cell in sub.cells])],
                results=results_of(sub, chosen.subs, chosen.results),
                own=sub.study.paper or sub.study.name,
            )
        )
    return sections


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
    page = page_of(
        reported.title,
        reported.kind,
        reported.sections,
        found.folders,
        verdicts,
        reported.repeat,
        file,
        results,
        refresh,
    )
    write_page(page, file)
    return page
