"""The analyses that follow a study when its `analyses` name them (conf/study/*.yaml)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from scs_study.analysis.publish import home
from scs_study.analysis.robustness import study as robustness
from scs_study.analysis.saliency import study as saliency
from scs_study.config.schema import CellConfig
from scs_study.experiments.grid import Part, Study
from scs_study.runs.context import Workplace
from scs_study.system.console import say


@dataclass(frozen=True)
class Analysis:
    """What follows a study.

    check: None; refuses settings that are wrong (ValueError), before hours of training.
    run: the sentences of what went wrong, none where all went well; prints what it did, and writes to the study's
    results folder. It takes any subset of the cells that is finished.
    """

    check: Callable[[DictConfig], None]
    run: Callable[[Study, Sequence[CellConfig], Workplace, DictConfig, Path], Sequence[str]]


FOLLOWING: Mapping[str, Analysis] = {
    "saliency": Analysis(saliency.check, saliency.follow_with_saliency),
    "robustness": Analysis(robustness.check, robustness.follow),
}
"""The analyses by name that compute something of their own. Those that only draw are in publish.DRAWN; a test holds
both together equal to study.grid.ANALYSES."""


def check_following(parts: Sequence[Part], config: DictConfig) -> None:
    """None. Errors: ValueError in one sentence for a wrong setting of an analysis that is to follow."""
    for part in parts:
        for name in _computed(part.study):
            FOLLOWING[name].check(config)


def follow(parts: Sequence[Part], place: Workplace, config: DictConfig, folder: Path) -> list[str]:
    """The sentences of what went wrong in the parts' analyses, which are run in their order and are printed."""
    problems: list[str] = []
    for part in parts:
        for name in _computed(part.study):
            found = FOLLOWING[name].run(part.study, part.cells, place, config, home(part, parts, folder))
            for sentence in found:
                say(f"{name}: {sentence}")
            problems += found
    return problems


def _computed(study: Study) -> list[str]:
    return [name for name in study.analyses if name in FOLLOWING]
