"""What a sweep found, in sentences: its best point, the front of accuracy over parameters, what mattered."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from scs_study.analysis.sweep.rows import Row, by_point
from scs_study.analysis.sweep.threshold import answer, threshold
from scs_study.experiments.sweep.sampler import SEED
from scs_study.experiments.sweep.settings import PARAMETERS, Sweep

LEAST_FOR_IMPORTANCE = 8


@dataclass(frozen=True)
class Found:
    """A point whose trials are done. words: what it is; accuracy: the mean over its seeds; trials: their numbers."""

    words: str
    accuracy: float
    parameters: int | None
    trials: tuple[int, ...]


def points(rows: Sequence[Row], sweep: Sweep) -> list[Found]:
    """Return the points that are done, each once."""
    found = []
    for group in by_point(rows, sweep):
        accuracy = float(np.mean([row.curve[-1] for row in group]))
        numbers = tuple(sorted(row.number for row in group))
        found.append(Found(sweep.describe(group[0].point), accuracy, group[0].parameters, numbers))
    return found


def front(rows: Sequence[Row], sweep: Sweep) -> list[Found]:
    """Return the points than which none is as accurate with fewer parameters or more accurate with as many, the
    smallest first; none for a sweep that does not count parameters.
    """
    known = [each for each in points(rows, sweep) if each.parameters is not None]
    found: list[Found] = []
    for each in sorted(known, key=lambda each: (each.parameters, -each.accuracy, each.words)):
        if not found or each.accuracy > found[-1].accuracy:
            found.append(each)
    return found


def sentences(rows: Sequence[Row], sweep: Sweep) -> list[str]:
    """Return what the finished trials say: the threshold of a sweep over one range, else the best point; the front."""
    found = []
    if sweep.line is not None:
        found.append(answer(threshold(rows, sweep.line.name, sweep.margin), sweep.line.name))
    elif not (done := points(rows, sweep)):
        found.append("No answer yet: no trial is done.")
    elif PARAMETERS not in sweep.objectives:
        best = max(done, key=lambda each: each.accuracy)
        found.append(f"Best: {_percent(best)} with {best.words} ({_trials(best)}).")
    if PARAMETERS in sweep.objectives and (ahead := front(rows, sweep)):
        members = "; ".join(
            f"{_percent(each)} with {each.parameters:,} ({each.words}; {_trials(each)})" for each in ahead
        )
        found.append(f"Front of accuracy over parameters, from {len(points(rows, sweep))} points: {members}.")
    return found


def importances(study: optuna.Study, sweep: Sweep) -> dict[str, float]:
    """Return the share of each setting that varied, and of the seed, in what made trials good; {} where there is
    nothing to weigh against something.

    One setting with one seed is the only parameter, and its share is 1 whatever the trials say. One that varies with
    some choice alone is in too few trials to be weighed. Of two objectives it is the way to the front that counts.
    """
    names = {each.name for each in sweep.dimensions if each.when is None} | ({SEED} if len(sweep.seeds) > 1 else set())
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(names) < 2 or len(done) < LEAST_FOR_IMPORTANCE:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        shares = optuna.importance.get_param_importances(study)
    if not names <= shares.keys() or not all(math.isfinite(share) for share in shares.values()):
        return {}
    return {name: shares[name] for name in sorted(names)}


def importance_words(shares: dict[str, float], study: optuna.Study) -> list[str]:
    """Return the importances in a sentence, none where there are none."""
    if not shares:
        return []
    number = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    words = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    return [f"Importance among the {number} finished trials (PED-ANOVA, shares of 1): {words}."]


def _percent(found: Found) -> str:
    return f"{100 * found.accuracy:.2f} %"


def _trials(found: Found) -> str:
    one = len(found.trials) == 1
    return f"trial {found.trials[0]}" if one else f"mean of trials {', '.join(map(str, found.trials))}"
