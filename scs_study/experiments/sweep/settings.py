"""What a sweep is: the cells it chooses from, and how it chooses (conf/sweep/*.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from scs_study.config.schema import ADVERSARIAL, CellConfig, check_keys, choice, whole
from scs_study.experiments.compose import CELL_GROUPS, compose_cell
from scs_study.models import check_cell
from scs_study.system.files import shortened

SAMPLERS = ("tpe", "grid")
PRUNERS = ("median", "hyperband", "none")
DIGITS = 3
"""Significant digits of a p.

A draw has 17 of them, and all would be part of the run's identity: nobody could type the run's p again, the last bit of
exp and log differs between machines, and two draws a hair apart would be two runs. Three digits are a step of at most
1 %, far below what an accuracy can tell apart.
"""
HYPERBAND_FACTOR = 3

_WHOLE = {"tpe_startup": 1, "points": 2, "trials": 1, "prune_startup": 1, "warmup": 1, "report_every": 1}
_OWN = ("layer.p", "layer.p_init")


def rounded(p: float) -> float:
    """`p` with DIGITS significant digits."""
    return float(f"{p:.{DIGITS}g}")


@dataclass(frozen=True)
class Sweep:
    """A sweep over p. base, set: the cell's groups and dotted settings, overrides of the command line included.

    low, high: the range of p; sampler, sampler_seed, tpe_startup, points: how p is chosen; trials: their number over
    all workers; pruner, prune_startup, warmup (epochs), report_every (epochs): when a trial is given up; margin: the
    difference in accuracy (a fraction) within which two trials are about as good. Comments in conf/sweep/quick.yaml.
    """

    sweep: str
    title: str
    base: Mapping[str, str]
    set: Mapping[str, Any]
    seeds: tuple[int, ...]
    low: float
    high: float
    sampler: str
    sampler_seed: int
    tpe_startup: int
    points: int
    trials: int
    pruner: str
    prune_startup: int
    warmup: int
    report_every: int
    margin: float

    def cell(self, p: float, seed: int) -> CellConfig:
        """Return the cell of a trial. Raises ValueError in one sentence, such as an unknown architecture."""
        cell = compose_cell(self.base, {**self.set, "layer.p": rounded(p), "layer.p_init": None}, seed)
        check_cell(cell)
        if cell.objective == ADVERSARIAL:
            raise ValueError(f"objective={cell.objective}: a sweep compares accuracies, and such a run has none")
        return cell

    @property
    def grid(self) -> tuple[tuple[float, int], ...]:
        """(p, seed) of every trial of the grid; all p of the first seed come first."""
        values = [rounded(float(p)) for p in np.geomspace(self.low, self.high, self.points)]
        return tuple((p, seed) for seed in self.seeds for p in values)

    @property
    def total(self) -> int:
        """Trials over all workers."""
        return len(self.grid) if self.sampler == "grid" else self.trials

    @property
    def epochs(self) -> int:
        """Epochs of a trial that is not pruned."""
        return self.cell(self.low, self.seeds[0]).train.epochs

    @property
    def study_name(self) -> str:
        """The study's name unless the user gives one: sweep, architecture, data, epochs."""
        cell = self.cell(self.low, self.seeds[0])
        return shortened(f"{self.sweep}-{cell.arch}-{cell.data.name}-{cell.train.epochs}ep")

    def shared(self) -> dict[str, Any]:
        """Return what all workers of a study must agree on, JSON-able and flat: the cell without p and seed, and the
        search.

        The number of trials is left out: a finished study continues when it is raised.
        """
        cell = self.cell(self.low, self.seeds[0]).identity()
        cell["layer"] = {key: value for key, value in cell["layer"].items() if key not in ("p", "p_init")}
        del cell["seed"]
        search: dict[str, Any] = {"seeds": list(self.seeds), "low": self.low, "high": self.high}
        if self.sampler == "tpe":
            search |= {"sampler": "tpe", "sampler_seed": self.sampler_seed, "tpe_startup": self.tpe_startup}
        else:
            search |= {"sampler": "grid", "points": self.points}
        search |= {"pruner": self.pruner, "report_every": self.report_every}
        if self.pruner != "none":
            search["warmup"] = self.warmup
        if self.pruner == "median":
            search["prune_startup"] = self.prune_startup
        return {**_flat("", cell), **{f"sweep.{key}": value for key, value in search.items()}}


def sweep_of(name: str, config: DictConfig, overrides: Mapping[str, Any]) -> Sweep:
    """Return the sweep that Hydra composed, on the cell that the command line's `overrides` change
    (grid.cell_overrides).

    Raises ValueError in one sentence for a value out of range and for a cell that cannot be.
    """
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    settings: dict[str, Any] = {str(key): value for key, value in values.items()}
    check_keys("sweep.", settings, [each.name for each in fields(Sweep) if each.name != "sweep"])
    for key in _OWN:
        if key in overrides:
            raise ValueError(
                f"{key}={overrides[key]}: p is what the sweep varies; its range is sweep.low to sweep.high"
            )
    for key in ("base", "set"):
        if not isinstance(settings[key] or {}, dict):
            raise ValueError(f"sweep.{key}={settings[key]}: must be settings by name, as in conf/sweep/{name}.yaml")
    everything = {**(settings.pop("base") or {}), **(settings.pop("set") or {}), **overrides}
    seed = everything.pop("seed", None)
    seeds = settings.pop("seeds")
    if seed is not None:
        seeds = [seed]
    numbers = isinstance(seeds, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in seeds)
    if not numbers or not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"sweep.seeds={seeds}: must be a list of different whole numbers, such as [0,1,2]")
    for each in seeds:
        whole("sweep.seeds", each, 0)
    choice("sweep.sampler", settings["sampler"], SAMPLERS)
    choice("sweep.pruner", settings["pruner"], PRUNERS)
    for key, least in _WHOLE.items():
        if not isinstance(settings[key], int) or isinstance(settings[key], bool) or settings[key] < least:
            raise ValueError(f"sweep.{key}={settings[key]}: must be a whole number, at least {least}")
    low, high, margin = (_positive(key, settings.pop(key)) for key in ("low", "high", "margin"))
    if low >= high:
        raise ValueError(f"sweep.low={low:g}: must be below sweep.high={high:g}")
    for key, bound in (("low", low), ("high", high)):
        if rounded(bound) != bound:
            raise ValueError(f"sweep.{key}={bound}: a p has {DIGITS} significant digits; try {rounded(bound):g}")
    sweep = Sweep(
        sweep=name,
        base={key: value for key, value in everything.items() if key in CELL_GROUPS},
        set={key: value for key, value in everything.items() if key not in CELL_GROUPS},
        seeds=tuple(seeds),
        low=low,
        high=high,
        margin=margin,
        **settings,
    )
    if len(set(sweep.grid)) < len(sweep.grid):
        raise ValueError(f"sweep.points={sweep.points}: some would be the same p with {DIGITS} significant digits")
    for key in ("warmup", "report_every"):
        if settings[key] > sweep.epochs:
            raise ValueError(
                f"sweep.{key}={settings[key]}: more than the {sweep.epochs} epochs of a trial, so nothing could ever be"
                f" pruned; say sweep.{key}={max(1, sweep.epochs // 3)}, or sweep.pruner=none sweep.{key}=1"
            )
    return sweep


def _positive(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 100:
        raise ValueError(f"sweep.{key}={value}: must be a number above 0 and at most 100")
    return float(value)


def _flat(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(f"{prefix}{key}.", value) if isinstance(value, dict) else {prefix + key: value}
    return flat
