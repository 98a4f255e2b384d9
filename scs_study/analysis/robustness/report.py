"""The robustness analysis (conf/analysis/robustness.yaml): table and figures of the runs that have been attacked."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from scs_study.analysis.collect import WHOLE, identity_columns
from scs_study.analysis.plots.style import figure_groups
from scs_study.analysis.registry import Analysis, Subject
from scs_study.analysis.robustness.curves import curves, together
from scs_study.analysis.robustness.results import AttackResult, attack_result
from scs_study.analysis.robustness.table import robustness_table, seeds_table
from scs_study.analysis.variants import variants, varying
from scs_study.config.groups import load_option, options
from scs_study.evaluation.robustness.evaluator import attack
from scs_study.evaluation.robustness.models import AttackedModel, attacked_models
from scs_study.evaluation.robustness.settings import Robustness, robustness_of
from scs_study.runs.context import RunContext

NAME, USUAL = "robustness", "pgd"
"""Of the table; of the attack settings that results are not named after."""


def models_of(frame: pd.DataFrame, runs: Path) -> tuple[dict[str, AttackedModel], list[str]]:
    """Return the models of the finished runs in `frame`, by run name, and a message for each that cannot be read."""
    rows = [row for group in variants(frame) for row in group if row["state"] in WHOLE]
    return attacked_models(rows, identity_columns(frame), runs)


def compute(frame: pd.DataFrame, context: RunContext, settings: Robustness) -> list[str]:
    """Compute what is missing of the attacks on the finished runs in `frame`; return a message for each problem.

    Raises:
        Interrupted: after a signal; what was computed until then is cached.
    """
    found, problems = models_of(frame, context.runs)
    return problems + attack(found, settings, context)


def report(
    frame: pd.DataFrame, runs: Path, settings: Robustness, folder: Path, suffix: str | None = None
) -> tuple[Path, ...]:
    """Return the paths of the robustness table and figures of the attacked runs in `frame`, () where there are none.

    suffix: what the names end with; None: what tells these settings from the usual ones.
    """
    groups, found = variants(frame), models_of(frame, runs)[0]
    results: dict[str, AttackResult] = {}
    for row in (row for group in groups for row in group):
        if row["run"] in found and (each := attack_result(row, found[row["run"]], settings)) is not None:
            results[row["run"]] = each
    if not results:
        return ()
    paths: list[Path] = []
    suffix = _suffix(settings) if suffix is None else suffix
    attacked = [
        group
        for group in figure_groups(frame, f"pgd{suffix}")
        if any(row["run"] in results for variant in group.variants for row in variant)
    ]
    for group in attacked:
        paths += curves(group, results, settings, folder / "figures")
    if len(attacked) > 1:
        paths += together(attacked, results, settings, folder / "figures", f"pgd{suffix}")
    if settings.check_eps:
        extra = varying(groups, identity_columns(frame))
        paths += robustness_table(list(results.values()), settings, extra, folder / "tables", f"{NAME}{suffix}")
        members = [[results[row["run"]] for row in group if row["run"] in results] for group in groups]
        known = [each for each in members if each]
        paths += seeds_table(known, settings, extra, folder / "tables", f"{NAME}-seeds{suffix}")
    return tuple(paths)


def _suffix(settings: Robustness) -> str:
    """Return what tells other settings from the usual ones: "-fine", or a hash of settings without a name."""
    for name in options("attack"):
        with contextlib.suppress(ValueError):  # a broken file matters to those who choose it
            if robustness_of(load_option("attack", name)) == settings:
                return "" if name == USUAL else f"-{name}"
    return "-" + hashlib.sha256(repr(settings).encode()).hexdigest()[:8]


def _check(config: DictConfig) -> None:
    robustness_of(config.attack)


def _compute(subject: Subject) -> list[str]:
    assert subject.context is not None
    assert subject.config is not None
    return compute(subject.frame, subject.context, robustness_of(subject.config.attack))


def _write(subject: Subject) -> tuple[Path, ...]:
    assert subject.config is not None
    return report(subject.frame, subject.runs, robustness_of(subject.config.attack), subject.folder)


ANALYSIS = Analysis(_write, _compute, _check, of_pairs=False)
