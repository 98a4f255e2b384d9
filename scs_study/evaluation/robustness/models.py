"""Attacked models: the trained networks of finished runs, and for which other network transferred images are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scs_study.evaluation.trained import Trained, load_each

Row = Mapping[str, Any]
"""A run's row of a collected frame, missing values None."""
PREFERRED = {"conv": ("relu", "max"), "scs": ("none", "maxabs")}
"""The baseline of the paper's tables, and the gallery's recommendation: what transferred images are made for."""


@dataclass(frozen=True, eq=False)
class AttackedModel:
    """A trained network, and the one that transferred images are made for (None where the study has none)."""

    trained: Trained
    source: Trained | None

    @property
    def images(self) -> str:
        """The digest of the images that the run was trained and tested on."""
        return str(self.trained.result["data_digest"])


def sources(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, str | None]:
    """Return for each of the finished runs `rows` the run that transferred images are made for, by names, or None.

    Of a convolution a sharpened cosine network, of anything else a convolution; of the same architecture, data, recipe
    and seed, the PREFERRED variant where it is among the finished ones and the first in order otherwise.
    columns: the identity's.
    """
    same = [name for name in (*columns, "seed") if name not in ("layer", "activation", "pooling")]
    same = [name for name in same if not name.startswith("layer.")]
    result: dict[str, str | None] = {}
    for row in rows:
        wanted = "scs" if row["layer"] == "conv" else "conv"
        others = [
            other
            for other in rows
            if other["layer"] == wanted and all(other.get(name) == row.get(name) for name in same)
        ]
        others.sort(key=lambda other: ((other["activation"], other["pooling"]) != PREFERRED[wanted], other["run"]))
        result[row["run"]] = others[0]["run"] if others else None
    return result


def attacked_models(
    rows: Sequence[Row], columns: Sequence[str], runs: Path
) -> tuple[dict[str, AttackedModel], list[str]]:
    """Return the models of the finished runs `rows` by run name, and a message for each that cannot be attacked."""
    networks, problems = load_each(runs, rows)
    loaded = {each.folder.name: each for each in networks}
    pairs = sources([row for row in rows if row["run"] in loaded], columns)
    found = {name: AttackedModel(loaded[name], loaded[source] if source else None) for name, source in pairs.items()}
    return found, problems
