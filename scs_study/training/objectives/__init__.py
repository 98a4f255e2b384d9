"""What a run optimises and how it is judged. The loop, the engines, checkpoints and records know no accuracy."""

from scs_study.training.objectives.base import Objective
from scs_study.training.objectives.registry import OBJECTIVES, objective_of

__all__ = ["OBJECTIVES", "Objective", "objective_of"]
