"""The analyses that a study may name in its `analyses`: each a file in conf/analysis/ and the object it names.

What such a file says beside `_target_` are settings of its own; saliency and robustness have whole config groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from scs_study.analysis.collect import collect
from scs_study.config.groups import load_option
from scs_study.config.schema import ADVERSARIAL, CellConfig
from scs_study.config.target import load_target, split_target
from scs_study.experiments.grid import Study, SubStudy
from scs_study.runs.context import RunContext
from scs_study.system.console import say

GROUP = "analysis"
"""The config group with a file for each analysis."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What an analysis is about. frame: the collected runs, of which any number may be unfinished. folder: for results.

    context, config: how and with which settings something is computed; None for an analysis that computes nothing.
    """

    frame: pd.DataFrame
    runs: Path
    folder: Path
    context: RunContext | None = None
    config: DictConfig | None = None


@dataclass(frozen=True)
class Analysis:
    """What follows the runs of a study.

    report: writes tables and figures below the subject's folder and returns their paths; it reads run folders only.
    compute: computes on the finished runs what their folders do not hold yet, and returns a message for each problem.
    check: refuses wrong settings with a ValueError, before hours of training.
    check_images: so refuses a run's cell whose images do not suffice for what is computed after it.
    from_records: whether the report wants no more than published records hold, also of what was computed: then it is
    published. One that computes nothing always is.
    of_pairs: whether it looks at generators and discriminators, True, or at networks with classes, False; None for any.
    """

    report: Callable[[Subject], Sequence[Path]]
    compute: Callable[[Subject], Sequence[str]] | None = None
    check: Callable[[DictConfig], None] | None = None
    check_images: Callable[[DictConfig, CellConfig, RunContext], None] | None = None
    from_records: bool = False
    of_pairs: bool | None = None


def find_analysis(name: str) -> Analysis:
    """Return the analysis that a file <name>.yaml in conf/analysis, or in a folder of one's own, names.

    Raises:
        ValueError: there is no such file, or it names no Analysis.
    """
    target = load_option(GROUP, name).get("_target_")
    split_target(f"{GROUP}={name}", target)
    found = load_target(f"{GROUP}={name}", str(target))
    if not isinstance(found, Analysis):
        raise ValueError(f"{GROUP}={name}._target_={target}: is no scs_study.analysis.registry.Analysis")
    return found


def check_analyses(subs: Sequence[SubStudy], config: DictConfig) -> None:
    """Raise ValueError in one sentence for a wrong setting of an analysis that a sub-study names, and for one that can
    look at none of its runs.
    """
    pairs: dict[str, set[bool]] = {}
    for sub in subs:
        for name, analysis in analyses_of(sub.study):
            if analysis.check is not None:
                analysis.check(config)
            pairs.setdefault(name, set()).update(cell.objective == ADVERSARIAL for cell in sub.cells)
    for name, found in pairs.items():
        of_pairs = find_analysis(name).of_pairs
        if of_pairs is not None and found == {not of_pairs}:
            wanted = "generators and discriminators" if of_pairs else "networks with classes"
            raise ValueError(f"analysis={name} looks at {wanted}, and what is chosen has none")


def check_images(
    subs: Sequence[SubStudy], missing: Sequence[CellConfig], context: RunContext, config: DictConfig
) -> None:
    """Raise ValueError in one sentence for a cell to be computed that has too few images for an analysis of it."""
    todo = {cell.run_name for cell in missing}
    for sub in subs:
        for _, analysis in analyses_of(sub.study):
            if analysis.check_images is not None:
                for cell in (each for each in sub.cells if each.run_name in todo):
                    analysis.check_images(config, cell, context)


def run_analyses(subs: Sequence[SubStudy], context: RunContext, config: DictConfig, folder: Path) -> list[str]:
    """Run and print the analyses of `subs` that compute something, in order; return a message for each problem."""
    problems: list[str] = []
    for sub in subs:
        for name, analysis in analyses_of(sub.study):
            if analysis.compute is not None:
                frame = collect(context.runs, {cell.run_name: cell.identity() for cell in sub.cells})
                subject = Subject(frame, context.runs, results_of(sub, subs, folder), context, config)
                problems += run_analysis(name, analysis, subject)
    return problems


def run_analysis(name: str, analysis: Analysis, subject: Subject) -> list[str]:
    """Compute what is missing, write the report, print its paths and the problems; return the problems' messages."""
    problems = list(analysis.compute(subject)) if analysis.compute is not None else []
    for path in analysis.report(subject):
        say(f"  {path}")
    for message in problems:
        say(f"{name}: {message}")
    return problems


def analyses_of(study: Study) -> list[tuple[str, Analysis]]:
    """Return the analyses that a study names, in its order."""
    return [(name, find_analysis(name)) for name in study.analyses]


def results_of(sub: SubStudy, subs: Sequence[SubStudy], folder: Path) -> Path:
    """Return the folder of a sub-study's results, where `folder` is that of the whole study's."""
    return folder if len(subs) == 1 else folder / sub.study.name
