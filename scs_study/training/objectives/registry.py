"""The objectives by name. To add one: a module beside this, an entry here, a file in conf/objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scs_study.config.schema import CellConfig
from scs_study.training.objectives.base import Objective
from scs_study.training.objectives.classification import Classification

OBJECTIVES: Mapping[str, Callable[[CellConfig], Objective]] = {"classification": Classification}


def objective_of(cell: CellConfig) -> Objective:
    """Return the objective of a cell's run."""
    return OBJECTIVES["classification"](cell)
