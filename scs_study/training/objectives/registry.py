"""The objectives by name. To add one: a module beside this, an entry here, a file in conf/objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from scs_study.config.schema import CellConfig, choice
from scs_study.config.target import load_target
from scs_study.training.objectives.adversarial import Adversarial
from scs_study.training.objectives.base import Objective
from scs_study.training.objectives.classification import Classification

OBJECTIVES: dict[str, Callable[[CellConfig], Objective]] = {
    "classification": Classification,
    "adversarial": Adversarial,
}


def objective_of(cell: CellConfig) -> Objective:
    """Return the objective of a cell's run. Raises ValueError in one sentence where there is none of its name."""
    return _maker(cell)(cell)


def check_objective(cell: CellConfig) -> None:
    """Do nothing where a cell's objective exists. Raises as `objective_of`."""
    _maker(cell)


def _maker(cell: CellConfig) -> Callable[[CellConfig], Objective]:
    target = dict(cell.targets).get("objective")
    if target is None:
        return OBJECTIVES[choice("objective", cell.objective, OBJECTIVES)]
    made: Any = load_target("objective", target)
    if cell.objective in OBJECTIVES:
        raise ValueError(f"objective={cell.objective}: that name belongs to the project; give yours another")
    if not callable(made):
        raise ValueError(f"objective._target_={target}: must be a class, made of a run's CellConfig")
    return cast(Callable[[CellConfig], Objective], made)
