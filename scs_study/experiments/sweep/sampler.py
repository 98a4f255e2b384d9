"""How Optuna chooses the next p, and when it gives a trial up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from scs_study.experiments.sweep.settings import HYPERBAND_FACTOR, Sweep, rounded

RETRY_OF = "retry_of"
"""The attribute of a trial that took up the p of another one: that one's number."""


class RoundedTPE(BaseSampler):
    """Optuna's TPE, with p kept to a few digits, and with a draw that depends on no process's memory.

    A draw is a function of the sweep's seed, the trial's number and the trials in the study. So workers of the same
    settings do not draw the same p's, and one worker draws the same ones however often it was interrupted.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._seed = sweep.sampler_seed
        self._startup = sweep.tpe_startup

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """{"p": its distribution} once a trial has it. The seed of the weights is no parameter to optimise."""
        space = self._tpe(study, trial).infer_relative_search_space(study, trial)
        return {name: distribution for name, distribution in space.items() if name == "p"}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """{"p": value} as TPE draws it, rounded; {} before it has seen enough trials."""
        return _round_p(self._tpe(study, trial).sample_relative(study, trial, search_space))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return one parameter's value, p rounded."""
        value = self._tpe(study, trial).sample_independent(study, trial, param_name, param_distribution)
        return _round_p({param_name: value})[param_name]

    def _tpe(self, study: Study, trial: FrozenTrial) -> TPESampler:
        # Trials that took up another one's p do not count: a worker's death must not change what is drawn after it.
        earlier = study._storage.get_all_trials(study._study_id, deepcopy=False)[: trial.number]
        slot = sum(RETRY_OF not in each.user_attrs for each in earlier)
        seed = int(np.random.SeedSequence([self._seed, slot]).generate_state(1)[0])
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


def _round_p(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: rounded(value) if name == "p" else value for name, value in params.items()}
