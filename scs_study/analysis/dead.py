"""Networks at chance: another state than a live one, so they are counted apart and never averaged with the others."""

from __future__ import annotations

from scs_study.analysis.collect import HELD_OUT
from scs_study.analysis.variants import Record
from scs_study.config.images import CLASSES

MARGIN = 0.02
"""Above chance within which a run counts as dead: that of results/paper/claims.yaml."""


def chance(row: Record) -> float:
    """Return the accuracy of guessing, for the data of a run: one of its number of classes."""
    classes = CLASSES.get(str(row["data"]).removesuffix(HELD_OUT)) or row.get("data.num_classes")
    return 1 / int(classes) if classes else 0.0


def is_dead(row: Record) -> bool:
    """Return whether a finished run diverged, never trained, or ended at chance."""
    final = row["final_test_accuracy"]
    return row["state"] in ("diverged", "untrained") or (final is not None and final <= chance(row) + MARGIN)
