"""What the report of a study shows, as typed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from scs_study.analysis.claims.decide import Verdict
from scs_study.analysis.claims.table import tally
from scs_study.analysis.pairs import apart
from scs_study.analysis.variants import records, show, spans
from scs_study.report.attacks import attack_charts
from scs_study.report.curves import curve_charts
from scs_study.report.figures import Picture, pictures
from scs_study.report.public import public
from scs_study.report.runs import Progress, Recipe, Run, computed_with, private_names, progress_of, recipes_of, runs_of
from scs_study.report.sheets import Sheet, own_sheets, written_sheets
from scs_study.report.verdicts import Card, cards


@dataclass(frozen=True)
class Section:
    """A part of a study: its title, the paper's table that it replicates (None: none), its runs.

    name: no other section's. results: the folder that its figures and tables lie in, None where it has none. own: the
    name of the table there that the page makes itself.
    """

    name: str
    title: str
    paper: str | None
    frame: pd.DataFrame
    results: Path | None = None
    own: str = ""


@dataclass(frozen=True)
class Content:
    """A section as it is shown.

    sheets: its tables. curves, attacks: titles and charts. pictures: the figures of its analyses. runs: those that have
    begun, with each whether it is the first of the page, which links lead to. missing: names of the others.
    """

    name: str
    title: str
    progress: Progress
    sheets: tuple[Sheet, ...]
    curves: tuple[tuple[str, Markup], ...]
    attacks: tuple[tuple[str, Markup], ...]
    pictures: tuple[Picture, ...]
    runs: tuple[tuple[Run, bool], ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """A whole report. facts: one line each on top; claims: those that the runs say something of, timed: that the
    benchmark of steps does, unknown: that nothing does. refresh:
    after how many seconds a browser shows it anew, None for a page that is written once.
    """

    title: str
    kind: str
    progress: Progress
    facts: tuple[tuple[str, str], ...]
    tally: str
    claims: tuple[Card, ...]
    timed: tuple[Card, ...]
    unknown: tuple[Card, ...]
    sections: tuple[Content, ...]
    recipes: tuple[Recipe, ...]
    versions: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    runs: tuple[str, ...]
    refresh: int | None

    @property
    def curved(self) -> bool:
        """Whether a section has curves: adversarial runs have no accuracy."""
        return any(section.curves for section in self.sections)

    @property
    def drawn(self) -> int:
        """How many pictures the sections have."""
        return sum(len(section.pictures) for section in self.sections)

    @property
    def attacked(self) -> bool:
        """Whether a run of a section has been attacked."""
        return any(section.attacks for section in self.sections)


def page_of(
    title: str,
    kind: str,
    sections: Sequence[Section],
    folders: Mapping[str, Path],
    verdicts: Sequence[Verdict],
    commands: Sequence[str],
    file: Path,
    results: Path,
    refresh: int | None = None,
) -> Page:
    """Return the Page of a study's sections.

    kind: what the page is, in a few words. folders: where each run lies. commands: those that repeat it. file: the
    page's; results: the folder of all results. refresh: as of Page.
    """
    together = _merged(sections)
    names = private_names(folders.values())
    known, timed, unknown = cards(verdicts)
    seen: set[str] = set()
    return Page(
        title=title,
        kind=kind,
        progress=progress_of(together),
        facts=tuple(_facts(together)),
        tally=tally(verdicts),
        claims=tuple(known),
        timed=tuple(timed),
        unknown=tuple(unknown),
        sections=tuple(_content(section, folders, names, file, results, seen) for section in sections),
        recipes=tuple(recipes_of(together)),
        versions=tuple(computed_with(together, folders)),
        commands=tuple(commands),
        runs=tuple(together["run"]),
        refresh=refresh,
    )


def _content(
    section: Section, folders: Mapping[str, Path], names: set[str], file: Path, results: Path, seen: set[str]
) -> Content:
    sheets = own_sheets(section.frame, section.paper, folders, names)
    sheets += written_sheets(section.results, section.own, names)
    runs = tuple(
        Run(**{**vars(run), "message": public(run.message, names), "device": public(run.device, names)})
        for run in runs_of(section.frame, folders, file, results)
    )
    classifiers = apart(section.frame)[0]
    curves = tuple(curve_charts(classifiers, folders, f"curves-{section.name}"))
    attacks = list(attack_charts(classifiers, folders, f"attacks-{section.name}"))
    begun = [run for run in runs if run.state != "missing"]
    first = tuple((run, run.name not in seen) for run in begun)
    seen |= {run.name for run in begun}
    missing = tuple(run.name for run in runs if run.state == "missing")
    groups = [each.group for each in attacks]
    drawn = tuple(pictures(section.results, section.frame, f"figure-{section.name}", names, groups))
    charts = tuple((each.title, each.chart) for each in attacks)
    progress = progress_of(section.frame)
    return Content(section.name, section.title, progress, tuple(sheets), curves, charts, drawn, first, missing)


def _merged(sections: Sequence[Section]) -> pd.DataFrame:
    """The runs of all sections, each once."""
    frames = [section.frame.astype(object) for section in sections]
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True).drop_duplicates("run")


def _facts(frame: pd.DataFrame) -> list[tuple[str, str]]:
    rows = [row for row in records(frame) if row["architecture"] is not None]

    def all_of(key: str) -> str:
        return ", ".join(dict.fromkeys(show(row[key]) for row in rows if row[key] is not None))

    commits = ", ".join(dict.fromkeys(word for row in rows for word in str(row["commit"] or "").split()))
    facts = [
        ("data", all_of("data")),
        ("networks", all_of("architecture")),
        ("epochs", spans(row["epochs"] for row in rows)),
        ("seeds", spans(row["seed"] for row in rows)),
        ("device", public(all_of("device"))),
        ("commit", commits),
    ]
    return [(name, value) for name, value in facts if value]
