"""A study's cells: the product of its axes, less what it excludes, for each seed (conf/study/*.yaml)."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from scs_study.config.schema import CellConfig, choice, whole
from scs_study.experiments.compose import (
    CELL_GROUPS,
    check_option,
    compose_cell,
    default_choices,
    load_option,
    options,
    override_values,
    parse_overrides,
    study_defaults,
)
from scs_study.system.places import PAPER

ORDERS = ("seed", "table", "cost")
"""What a study's cells may be ordered by."""
MOST_SEEDS = 1000
"""Seeds that a number of them stands for at most; more are a list's to name."""


@dataclass(frozen=True)
class Study:
    """A set of cells and what is printed of them.

    base: {group: choice} and set: {dotted setting: value} for every cell. axes: {group or dotted setting: values}.
    exclude: partial {axis: value}; a cell that matches one of them is left out. paper: the paper's table to print
    beside ours, None where it has none. include: other studies whose cells belong to this one, their epochs multiplied
    by epochs_factor (rounded up). seeds: a file may give how many, 6 for 0 to 5. analyses: files in conf/analysis/ that
    `make replicate` runs on the finished cells. order: by what cells are ordered when they are computed (of ORDERS).
    """

    name: str
    title: str
    paper: str | None
    include: tuple[str, ...]
    epochs_factor: float
    base: Mapping[str, str]
    set: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]
    exclude: tuple[Mapping[str, Any], ...]
    seeds: tuple[int, ...]
    analyses: tuple[str, ...]
    order: tuple[str, ...] = ORDERS


@dataclass(frozen=True)
class SubStudy:
    """A study by itself or within one that includes it: its cells there, and the analyses that follow them."""

    study: Study
    cells: Sequence[CellConfig]


def load_study(name: str) -> Study:
    """Return the study conf/study/<name>.yaml. Raises ValueError that names the alternatives."""
    return _study(name, load_option("study", name))


def study_of(name: str, config: DictConfig) -> Study:
    """Return the study of a config that Hydra composed, with the overrides of its own keys (study.seeds=[0,1])
    applied.
    """
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return _study(name, {str(key): value for key, value in values.items()})


def _study(name: str, values: Mapping[str, Any]) -> Study:
    file = f"conf/study/{name}.yaml"
    defaults = study_defaults()
    for key in values:
        choice(f"{file}: key", key, defaults)
    values = {**defaults, **{key: value for key, value in values.items() if value is not None}}
    if not values["axes"] and not values["include"]:
        raise ValueError(f"{file}: needs axes, what it varies, such as axes: {{layer: [conv, scs]}} (or include)")
    if isinstance(values["seeds"], int) and not isinstance(values["seeds"], bool):
        values["seeds"] = list(range(whole("study.seeds", values["seeds"], 1, MOST_SEEDS)))
    _check_kinds(values)
    _check_choices(file, values)
    check_includes(name, values["include"])
    return Study(
        name=name,
        title=name if values["title"] is None else str(values["title"]),
        paper=values["paper"],
        include=tuple(values["include"]),
        epochs_factor=float(values["epochs_factor"]),
        base=values["base"],
        set=values["set"],
        axes=values["axes"],
        exclude=tuple(values["exclude"]),
        seeds=tuple(values["seeds"]),
        analyses=tuple(dict.fromkeys(values["analyses"])),
        order=tuple(dict.fromkeys(values["order"])),
    )


def _check_kinds(values: Mapping[str, Any]) -> None:
    if values["title"] is not None and not isinstance(values["title"], (str, int, float)):
        raise ValueError(f"study.title={values['title']}: must be a line of text")
    if not isinstance(values["seeds"], list) or not values["seeds"]:
        raise ValueError(f"study.seeds={values['seeds']}: must be a number of seeds, or a list such as [0,1,2]")
    for key in ("base", "set", "axes"):
        if not isinstance(values[key], dict):
            raise ValueError(f"study.{key}={values[key]}: must be settings and their values")
    for key in ("include", "exclude", "analyses", "order"):
        if not isinstance(values[key], list):
            raise ValueError(f"study.{key}={values[key]}: must be a list")
    factor = values["epochs_factor"]
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor <= 1:
        raise ValueError(f"study.epochs_factor={factor}: must be a number above 0 and at most 1")
    if factor < 1 and not values["include"]:
        raise ValueError(f"study.epochs_factor={factor} has no effect: it is for the studies in study.include")


def _check_choices(file: str, values: Mapping[str, Any]) -> None:
    if values["paper"] is not None:
        choice("study.paper", values["paper"], sorted(path.stem for path in PAPER.glob("table*.csv")))
    for analysis in values["analyses"]:
        choice("study.analyses", analysis, options("analysis"))
    for word in values["order"]:
        choice("study.order", word, ORDERS)
    for axis, points in values["axes"].items():
        if not isinstance(points, list) or not points:
            raise ValueError(f"study.axes.{axis}={points}: must be a list of values")
    for rule in values["exclude"]:
        if not isinstance(rule, dict):
            raise ValueError(f"study.exclude: {rule}: must be axes and their values, such as {{layer: conv}}")
        for axis, value in rule.items():
            choice(f"{file}: exclude", axis, values["axes"])
            if axis in CELL_GROUPS:  # a misspelt value would leave nothing out, and nobody would notice
                choice(f"study.exclude: {axis}", value, options(axis))


def check_includes(name: str, included: Sequence[object], above: tuple[str, ...] = ()) -> None:
    """Do nothing where a study's includes end somewhere.

    Raises ValueError naming the file for a study that is not there, and for one that includes itself in the end.
    """
    file = f"conf/study/{(*above, name)[-1]}.yaml"
    for each in included:
        try:
            check_option("study", each)
        except ValueError as error:
            raise ValueError(f"{file}: include: {error}") from error
        if each in (chain := (*above, name)):
            raise ValueError(f"{file}: a study includes itself ({' -> '.join((*chain, str(each)))})")
        further = load_option("study", str(each)).get("include") or []
        check_includes(str(each), further if isinstance(further, list) else [], chain)


def cell_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the overrides of a command line that change cells: {group, dotted setting or "seed": value}."""
    found: dict[str, Any] = {}
    for override in parse_overrides(arguments):
        key = override.key_or_group
        if key == "data.root" or (key.partition(".")[0] not in CELL_GROUPS and key != "seed"):
            continue
        values = override_values(override)
        if len(values) > 1:
            raise ValueError(
                f"{key}: a study takes one value here; its axes are in conf/study (or use scripts/train.py -m)"
            )
        found[key] = values[0]
    return found


def plan(study: Study, overrides: Mapping[str, Any] | None = None) -> list[CellConfig]:
    """Return the study's cells, each once, in the order of its axes.

    An override of an axis restricts the axis to that value, one of a seed restricts the seeds, any other holds for
    every cell. In a study of studies, what is an axis of one of them chooses among the cells of all.
    Raises ValueError in one sentence, before anything runs.
    """
    return merged(study, sub_studies(study, overrides))


def merged(study: Study, subs: Sequence[SubStudy]) -> list[CellConfig]:
    """Return the cells of the study's sub-studies, each once. Raises ValueError when there are none."""
    cells: dict[str, CellConfig] = {}
    for sub in subs:
        for cell in sub.cells:
            cells.setdefault(cell.run_name, cell)
    if not cells:
        raise ValueError(f"study {study.name}: no cells are left")
    return list(cells.values())


def with_parents(cells: Sequence[CellConfig]) -> list[CellConfig]:
    """Return the cells, and before them the convolutional counterparts whose trained weights they start from, unless
    these are among them.
    """
    names = {cell.run_name for cell in cells}
    parents = {cell.parent.run_name: cell.parent for cell in cells if cell.parent is not None}
    return [*(parent for name, parent in parents.items() if name not in names), *cells]


def sub_studies(
    study: Study, overrides: Mapping[str, Any] | None = None, filters: frozenset[str] = frozenset()
) -> list[SubStudy]:
    """Return what the study is made of: the studies it includes, what those include, and itself where it has axes of
    its own.

    Two sub-studies may share a cell. The analyses of a study follow those, too. filters: overrides that leave one out
    where it has no such cells, instead of being refused or changing them. Raises as `plan`.
    """
    overrides = dict(overrides or {})
    found = []
    if study.include:
        filters |= overrides.keys() & _axes(study)
    for name in study.include:
        for sub in sub_studies(load_study(name), overrides, filters):
            cells = sub.cells
            if "train.epochs" not in overrides:
                cells = [_shortened(cell, study.epochs_factor) for cell in cells]
            analyses = tuple(dict.fromkeys((*sub.study.analyses, *study.analyses)))
            found.append(SubStudy(dataclasses.replace(sub.study, analyses=analyses), cells))
    cells = _chosen(study, overrides, filters) if study.axes else []
    if study.include and filters and not found and not cells:
        wanted = " and ".join(f"{key}={_written(overrides[key])}" for key in sorted(filters))
        known = "; ".join(f"{key}: {', '.join(_points(study, key))}" for key in sorted(filters))
        raise ValueError(f"{wanted}: no cell of study {study.name} has that; there are {known}")
    return [*found, SubStudy(study, cells)] if cells else found


def _axes(study: Study) -> set[str]:
    return set(study.axes).union(*(_axes(load_study(name)) for name in study.include))


def _points(study: Study, key: str) -> dict[str, None]:
    """The values of `key` that the study's cells and those of the studies it includes name, as they are written."""
    found = dict.fromkeys(_written(point) for point in _own_points(study, key)) if study.axes else {}
    for name in study.include:
        found |= _points(load_study(name), key)
    return found


def _own_points(study: Study, key: str) -> Sequence[Any]:
    """The values of `key` that the study itself names for its cells: of an axis, or the one of all; [] for none."""
    same = {**default_choices(), **study.base, **study.set}
    return study.axes.get(key, [same[key]] if key in same else [])


def _written(value: Any) -> str:
    return json.dumps(value).replace('"', "")


def _chosen(study: Study, overrides: Mapping[str, Any], filters: frozenset[str]) -> list[CellConfig]:
    """The study's own cells; of an override in `filters` those that have its value anyway."""
    for key in filters:
        if key in CELL_GROUPS:
            check_option(key, overrides[key])
        points = _own_points(study, key)
        if points and overrides[key] not in points:
            return []
    settings = filters - study.axes.keys() - set(CELL_GROUPS)
    cells = _product(study, {key: value for key, value in overrides.items() if key not in settings})
    return [cell for cell in cells if all(_setting(cell, key) == overrides[key] for key in settings)]


def _setting(cell: CellConfig, key: str) -> Any:
    section, _, name = key.partition(".")
    value = cell.identity()[section]
    # What is left out of the identity has the value that it always had.
    return value.get(name, getattr(getattr(cell, section), name, None)) if isinstance(value, dict) else value


def _shortened(cell: CellConfig, factor: float) -> CellConfig:
    epochs = math.ceil(cell.train.epochs * factor - 1e-9)  # 800 x 0.01 is 8, whatever the last bit says
    return dataclasses.replace(cell, train=dataclasses.replace(cell.train, epochs=epochs))


def _product(study: Study, overrides: Mapping[str, Any]) -> list[CellConfig]:
    axes = {axis: list(points) for axis, points in study.axes.items()}
    for axis in axes.keys() & overrides.keys():
        if axis in CELL_GROUPS:
            check_option(axis, overrides[axis])
        if overrides[axis] not in axes[axis]:
            known = ", ".join(_written(point) for point in axes[axis])
            raise ValueError(f"{axis}={_written(overrides[axis])}: not in study {study.name}, which has {known}")
        axes[axis] = [overrides[axis]]
    seeds = [overrides["seed"]] if "seed" in overrides else list(study.seeds)
    common = {**study.base, **study.set, **{k: v for k, v in overrides.items() if k not in axes and k != "seed"}}
    cells = []
    for point in itertools.product(*axes.values()):
        chosen = dict(zip(axes, point, strict=True))
        if any(all(chosen[axis] == value for axis, value in rule.items()) for rule in study.exclude):
            continue
        everything = {**common, **chosen}
        choices = {key: value for key, value in everything.items() if key in CELL_GROUPS}
        settings = {key: value for key, value in everything.items() if key not in CELL_GROUPS}
        first = compose_cell(choices, settings, seeds[0])
        cells += [dataclasses.replace(first, seed=seed) for seed in seeds]
    return cells
