"""How Optuna chooses the next point, and when it gives a trial up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from scs_study.experiments.sweep.dimension import Dimension, rounded
from scs_study.experiments.sweep.points import Point
from scs_study.experiments.sweep.settings import HYPERBAND_FACTOR, Sweep

RETRY_OF = "retry_of"
"""The attribute of a trial that took up the point of another one: that one's number."""
SEED = "seed"
"""The seed of the weights, a parameter of every trial that is never optimised."""


def draw(trial: Trial, sweep: Sweep) -> tuple[Point, int]:
    """Return the point and the seed that a trial tries, as its study's sampler draws them, or as they were queued."""
    point: dict[str, Any] = {}
    for each in sweep.dimensions:
        if each.varies(point):
            point[each.name] = each.value(_suggested(trial, each))
    seed = trial.suggest_categorical(SEED, list(sweep.seeds))
    assert isinstance(seed, int)
    return point, seed


def drawn(params: Mapping[str, Any], sweep: Sweep) -> tuple[Point, int] | None:
    """Return the point and the seed of a trial with these parameters, None where it has not got them all yet."""
    point: dict[str, Any] = {}
    for each in sweep.dimensions:
        if each.varies(point):
            if each.name not in params:
                return None
            point[each.name] = each.value(params[each.name])
    return (point, params[SEED]) if SEED in params else None


def queued(point: Point, seed: int, sweep: Sweep) -> dict[str, Any]:
    """Return the parameters of a trial that is to try this point."""
    return {**{each.name: each.drawn(point[each.name]) for each in sweep.dimensions if each.name in point}, SEED: seed}


def _suggested(trial: Trial, each: Dimension) -> Any:
    if each.values:
        return trial.suggest_categorical(each.name, list(each.labels))
    if each.whole:
        return trial.suggest_int(each.name, int(each.low), int(each.high), log=each.log)
    return trial.suggest_float(each.name, each.low, each.high, log=each.log)


class RoundedTPE(BaseSampler):
    """Optuna's TPE, with numbers kept to a few digits, and with a draw that depends on no process's memory.

    A draw is a function of the sweep's seed, the trial's number and the trials in the study. So workers of the same
    settings do not draw the same points, and one worker draws the same ones however often it was interrupted. Each
    setting of a trial has a chance of its own: by a common one all of them would rise and fall together.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._seed = sweep.sampler_seed
        self._startup = sweep.tpe_startup

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the distributions of what varies once a trial has it. The seed of the weights is none to optimise."""
        space = self._tpe(study, trial).infer_relative_search_space(study, trial)
        return {name: distribution for name, distribution in space.items() if name != SEED}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a value for each of them as TPE draws it, rounded; {} before it has seen enough trials."""
        values = self._tpe(study, trial).sample_relative(study, trial, search_space)
        return {name: _kept(value, search_space[name]) for name, value in values.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return one parameter's value, rounded."""
        value = self._tpe(study, trial, len(trial.params)).sample_independent(
            study, trial, param_name, param_distribution
        )
        return _kept(value, param_distribution)

    def _tpe(self, study: Study, trial: FrozenTrial, before: int = 0) -> TPESampler:
        # before: settings that the trial has already. The first one's seed is the one that [seed, slot] alone give.
        # Trials that took up another one's point do not count: a worker's death must not change what is drawn after it.
        earlier = study._storage.get_all_trials(study._study_id, deepcopy=False)[: trial.number]
        slot = sum(RETRY_OF not in each.user_attrs for each in earlier)
        seed = int(np.random.SeedSequence([self._seed, slot, before]).generate_state(1)[0])
        return TPESampler(seed=seed, n_startup_trials=self._startup)


def make_pruner(sweep: Sweep) -> BasePruner:
    """Return the pruner of a sweep; a step is an epoch, counted from 1.

    Hyperband gets its resources in numbers, because "auto" would let every worker find its own.
    """
    if sweep.pruner == "median":
        return MedianPruner(n_startup_trials=sweep.prune_startup, n_warmup_steps=sweep.warmup)
    if sweep.pruner == "hyperband":
        return HyperbandPruner(min_resource=sweep.warmup, max_resource=sweep.epochs, reduction_factor=HYPERBAND_FACTOR)
    return NopPruner()


def _kept(value: Any, distribution: BaseDistribution) -> Any:
    return rounded(value) if isinstance(distribution, FloatDistribution) else value
