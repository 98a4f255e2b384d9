"""What a sweep is: the cells it chooses from, what it looks for, and how it chooses (conf/sweep/*.yaml)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from scs_study.config.groups import sweep_defaults
from scs_study.config.images import FOLDER, JUDGES
from scs_study.config.schema import ADVERSARIAL, CellConfig, check_keys, choice, whole
from scs_study.config.widths import KEY as WIDTHS
from scs_study.config.widths import split_widths
from scs_study.experiments.compose import CELL_GROUPS, compose_cell
from scs_study.experiments.sweep.dimension import Dimension
from scs_study.experiments.sweep.points import Point, corners, product
from scs_study.experiments.sweep.space import IMPLIED, dimensions_of, keys_of, space_of
from scs_study.models import check_cell
from scs_study.system.files import shortened

ACCURACY, PARAMETERS = "accuracy", "parameters"
OBJECTIVES: Mapping[str, Literal["maximize", "minimize"]] = {ACCURACY: "maximize", PARAMETERS: "minimize"}
"""What a sweep may look for, and which way: the best accuracy of any epoch, and how many parameters it takes."""
SAMPLERS = ("tpe", "grid")
PRUNERS = ("median", "hyperband", "none")
HYPERBAND_FACTOR = 3
MOST_CORNERS = 64
"""Points that are tried before anything starts; of a space with more corners, all values of each setting by itself."""

_WHOLE = {"tpe_startup": 1, "points": 2, "trials": 1, "prune_startup": 1, "warmup": 1, "report_every": 1}


@dataclass(frozen=True)
class Sweep:
    """A sweep over settings. base, set: the cell's groups and dotted settings, overrides of the command line included.

    space: what varies, as it is written; objectives: one or two of OBJECTIVES. sampler, sampler_seed, tpe_startup,
    points: how a point is chosen; trials: their number over all workers; pruner, prune_startup, warmup (epochs),
    report_every (epochs): when a trial is given up; margin: the difference in accuracy (a fraction) within which two
    trials are about as good. Comments in conf/sweep_defaults.yaml.
    """

    sweep: str
    title: str
    base: Mapping[str, str]
    set: Mapping[str, Any]
    space: Mapping[str, Any]
    objectives: tuple[str, ...]
    seeds: tuple[int, ...]
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

    @functools.cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """What varies, in the order of the file."""
        return dimensions_of(self.space)

    @functools.cached_property
    def varies(self) -> frozenset[str]:
        """The settings and groups that differ from trial to trial."""
        return frozenset(keys_of(self.dimensions))

    @property
    def line(self) -> Dimension | None:
        """The only range of a sweep that varies nothing else, None of every other sweep."""
        return self.dimensions[0] if len(self.dimensions) == 1 and not self.dimensions[0].values else None

    @property
    def judged_by(self) -> str:
        """The images that accuracies are of: test, held-out training or validation images."""
        kinds = {_judge(cell) for cell in self.cells}
        return kinds.pop() if len(kinds) == 1 else "test"

    def cell(self, point: Point, seed: int) -> CellConfig:
        """Return the cell of a trial. Raises ValueError in one sentence, such as an unknown architecture."""
        chosen: dict[str, Any] = {}
        for each in self.dimensions:
            if each.name in point:
                chosen |= each.settings(point[each.name])
        implied = [pair for key in chosen for pair in IMPLIED.get(key, {}).items()]
        everything = {**self.base, **self.set, **dict(implied), **chosen}
        choices = {key: value for key, value in everything.items() if key in CELL_GROUPS}
        cell = compose_cell(choices, {key: everything[key] for key in everything.keys() - choices.keys()}, seed)
        check_cell(cell)
        if cell.objective == ADVERSARIAL:
            raise ValueError(f"objective={cell.objective}: a sweep compares accuracies, and such a run has none")
        return cell

    @functools.cached_property
    def cells(self) -> tuple[CellConfig, ...]:
        """The cells of `corners`. Raises ValueError in one sentence where a setting refuses what it would be given."""
        found = []
        for point in self.corners:
            try:
                found.append(self.cell(point, self.seeds[0]))
            except ValueError as error:
                if not found and not any(each.key in str(error) for each in self.dimensions):
                    raise  # of every point: the space is not to blame
                wanted = " (write int before a range of whole numbers)" if "be a whole number" in str(error) else ""
                where = f"{self.describe(point)}: " if len(self.dimensions) > 1 else ""
                raise ValueError(f"sweep.space: {where}{error}{wanted}") from error
        return tuple(found)

    @property
    def first(self) -> CellConfig:
        """The cell at the beginning of every range and list: what is the same in all is the same in it."""
        return self.cells[0]

    @functools.cached_property
    def corners(self) -> tuple[Point, ...]:
        """Points with every value of a list and both ends of a range: all of them, or those that differ from the first
        one in one setting."""
        return corners(self.dimensions, MOST_CORNERS)

    @functools.cached_property
    def grid(self) -> tuple[tuple[Point, int], ...]:
        """The point and the seed of every trial of the grid; all points of the first seed come first."""
        values = {each.name: each.grid(self.points) for each in self.dimensions}
        points = product(self.dimensions, lambda each: values[each.name])
        return tuple((point, seed) for seed in self.seeds for point in points)

    @property
    def total(self) -> int:
        """Trials over all workers."""
        return len(self.grid) if self.sampler == "grid" else self.trials

    @property
    def epochs(self) -> int:
        """Epochs of the longest trial that is not pruned."""
        return max(cell.train.epochs for cell in self.cells)

    @property
    def study_name(self) -> str:
        """The study's name unless the user gives one: sweep, architecture, data, epochs, less what varies."""
        cell = self.first
        parts = {"arch": self._network, "data": cell.data.name, "train.epochs": f"{cell.train.epochs}ep"}
        return shortened("-".join([self.sweep, *(word for key, word in parts.items() if key not in self.varies)]))

    @property
    def _network(self) -> str:
        """The network's name, less its widths where they vary."""
        arch, varies = self.first.arch, any(key.startswith(WIDTHS) for key in self.varies)
        return split_widths(arch)[0] if varies else arch

    def describe(self, point: Point) -> str:
        """Return what a trial tries, for messages."""
        return ", ".join(f"{each.name}={each.of(point)}" for each in self.dimensions if each.name in point)

    def shared(self) -> dict[str, Any]:
        """Return what all workers of a study must agree on, JSON-able and flat: the cell without what varies, and the
        search.

        The number of trials is left out: a finished study continues when it is raised.
        """
        cell = _flat("", self.first.identity())
        cell["arch"] = self._network
        gone = {"seed", *self.varies, *(key for each in self.varies for key in IMPLIED.get(each, {}))}
        cell = {key: value for key, value in cell.items() if key not in gone and key.partition(".")[0] not in gone}
        search: dict[str, Any] = {f"space.{each.place}": each.written for each in self.dimensions}
        search["seeds"] = list(self.seeds)
        if self.objectives != (ACCURACY,):
            search["objectives"] = list(self.objectives)
        if self.sampler == "tpe":
            search |= {"sampler": "tpe", "sampler_seed": self.sampler_seed, "tpe_startup": self.tpe_startup}
        else:
            search |= {"sampler": "grid", "points": self.points}
        search |= {"pruner": self.pruner, "report_every": self.report_every}
        if self.pruner != "none":
            search["warmup"] = self.warmup
        if self.pruner == "median":
            search["prune_startup"] = self.prune_startup
        return {**cell, **{f"sweep.{key}": value for key, value in search.items()}}


def shared_as_today(shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a study's workers agreed on as `Sweep.shared` has it, of a study from before sweep.space too.

    That one varies layer.p from sweep.low to sweep.high.
    """
    old = dict(shared)
    if "sweep.low" in old and "sweep.high" in old:
        ends = f"log {old.pop('sweep.low')}..{old.pop('sweep.high')}"
        old |= {f"sweep.space.{each.key}": each.written for each in dimensions_of({"layer.p": ends})}
    return old


def sweep_from(values: Mapping[str, Any]) -> Sweep:
    """Return the sweep that a JSON file has, as dataclasses.asdict gave it."""
    return Sweep(**{**values, **{key: tuple(values[key]) for key in ("objectives", "seeds")}})


def sweep_of(name: str, config: DictConfig, overrides: Mapping[str, Any]) -> Sweep:
    """Return the sweep that Hydra composed, on the cell that the command line's `overrides` change
    (grid.cell_overrides).

    Raises ValueError in one sentence for a value out of range and for a cell that cannot be.
    """
    composed = OmegaConf.to_container(config, resolve=True)
    assert isinstance(composed, dict)
    values = {str(key): value for key, value in composed.items() if value is not None}
    check_keys("sweep.", values, sweep_defaults(), sweep_defaults())
    settings: dict[str, Any] = {**sweep_defaults(), **values}
    for key in ("base", "set"):
        if not isinstance(settings[key], dict):
            raise ValueError(f"sweep.{key}={settings[key]}: must be settings by name, as in conf/sweep/quick.yaml")
    space = _space(settings.pop("space"), settings.pop("low"), settings.pop("high"))
    varies = keys_of(dimensions_of(space))
    for key in {*varies, *(implied for each in varies for implied in IMPLIED.get(each, {}))} & overrides.keys():
        raise ValueError(f"{key}={overrides[key]}: the sweep varies {', '.join(varies)}; see sweep.space in its file")
    everything = {**settings.pop("base"), **settings.pop("set"), **overrides}
    seeds, seed = settings.pop("seeds"), everything.pop("seed", None)
    title, margin = settings.pop("title"), _share("margin", settings.pop("margin"))
    sweep = Sweep(
        sweep=name,
        title=name if title is None else str(title),
        base={key: value for key, value in everything.items() if key in CELL_GROUPS},
        set={key: value for key, value in everything.items() if key not in CELL_GROUPS},
        space=space,
        objectives=_objectives(settings.pop("objectives")),
        seeds=_seeds(seeds if seed is None else [seed]),
        margin=margin,
        **settings,
    )
    choice("sweep.sampler", sweep.sampler, SAMPLERS)
    choice("sweep.pruner", sweep.pruner, PRUNERS)
    whole("sweep.sampler_seed", sweep.sampler_seed, 0)
    for key, least in _WHOLE.items():
        whole(f"sweep.{key}", settings[key], least)
    if sweep.pruner != "none" and len(sweep.objectives) > 1:
        raise ValueError(
            f"sweep.pruner={sweep.pruner}: Optuna gives a trial up by the course of one objective alone, and cannot say"
            f" when a point is no longer on the front of {len(sweep.objectives)}; say sweep.pruner=none"
        )
    assert sweep.total  # says which points of a grid coincide
    assert sweep.cells  # says what a setting refuses
    for key in ("warmup", "report_every"):
        if settings[key] > sweep.epochs:
            raise ValueError(
                f"sweep.{key}={settings[key]}: more than the {sweep.epochs} epochs of a trial, so nothing could ever be"
                f" pruned; say sweep.{key}={max(1, sweep.epochs // 3)}, or sweep.pruner=none sweep.{key}=1"
            )
    return sweep


def _space(space: Any, low: object, high: object) -> dict[str, Any]:
    """sweep.space (of a command line: text), its only range from sweep.low to sweep.high where these are given."""
    if isinstance(space, str):
        space = space_of(space)
    if low is None and high is None:
        found = dimensions_of(space)
        if any(each.sets for each in found):
            return {str(key): spec for key, spec in space.items()}
        return {each.key: list(each.values) if each.values else each.written for each in found}
    if space is None:  # a file from before sweep.space
        space = {"layer.p": "log 0.1..10"}
    ranges = [each for each in dimensions_of(space) if not each.values and each.when is None]
    if len(ranges) != 1:
        raise ValueError(f"sweep.low and sweep.high are for a space with one range; this one has {len(ranges)}")
    (only,) = ranges
    for key, end in (("low", low), ("high", high)):
        if end is not None and (isinstance(end, bool) or not isinstance(end, (int, float))):
            raise ValueError(f"sweep.{key}={end}: must be a number")
    ends = "..".join(str(new if new is not None else old) for new, old in ((low, only.low), (high, only.high)))
    return _space({**space, only.key: f"{'log ' * only.log}{'int ' * only.whole}{ends}"}, None, None)


def _judge(cell: CellConfig) -> str:
    if cell.data.judge != JUDGES[0]:
        return cell.data.judge
    return "held-out training" if cell.data.name != FOLDER and cell.data.test_share is not None else "test"


def _objectives(values: object) -> tuple[str, ...]:
    listed = [values] if isinstance(values, str) else values
    if not isinstance(listed, list) or ACCURACY not in listed or len(set(map(str, listed))) < len(listed):
        raise ValueError(f"sweep.objectives={values}: must be [{ACCURACY}], or [{ACCURACY}, {PARAMETERS}]")
    for each in listed:
        choice("sweep.objectives", each, OBJECTIVES)
    return tuple(each for each in OBJECTIVES if each in listed)


def _seeds(seeds: object) -> tuple[int, ...]:
    numbers = isinstance(seeds, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in seeds)
    if not isinstance(seeds, list) or not numbers or not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"sweep.seeds={seeds}: must be a list of different whole numbers, such as [0,1,2]")
    return tuple(whole("sweep.seeds", each, 0) for each in seeds)


def _share(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 100:
        raise ValueError(f"sweep.{key}={value}: must be a number above 0 and at most 100")
    return float(value)


def _flat(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(f"{prefix}{key}.", value) if isinstance(value, dict) else {prefix + key: value}
    return flat
