"""One run: the loop, its schedule, its records and its checkpoints."""

from scs_study.training.run import Interrupted, Settings, train

__all__ = ["Interrupted", "Settings", "train"]
