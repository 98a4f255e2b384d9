"""What was measured of adversarial runs, read from their folders: a variant's seeds together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scs_study.analysis.collect import FINAL, identity_columns
from scs_study.analysis.pairs import short_label
from scs_study.analysis.variants import Record, variants, varying
from scs_study.config.schema import ADVERSARIAL
from scs_study.evaluation.fidelity.evaluator import REAL, Judged, cached, cell_in
from scs_study.evaluation.fidelity.features import classifier_cell
from scs_study.evaluation.fidelity.settings import Fidelity


@dataclass(frozen=True)
class Seed:
    """A run and the epochs that were judged; features: the name of the classifier they were judged in."""

    row: Record
    epochs: Sequence[Judged]
    features: str

    @property
    def real(self) -> Judged | None:
        """Training images in the place of samples."""
        return next((each for each in self.epochs if each.epoch == REAL), None)

    @property
    def drawn(self) -> list[Judged]:
        """The epochs of the generator."""
        return [each for each in self.epochs if each.epoch != REAL]


@dataclass(frozen=True)
class Variant:
    """Runs that differ by their seeds alone. words: what tells them from the other variants."""

    words: str
    seeds: Sequence[Seed]


def adversarial_rows(frame: pd.DataFrame) -> list[list[Record]]:
    """Return the finished adversarial runs of a frame, by variant, in the tables' order."""
    groups = [
        [row for row in group if row.get("objective") == ADVERSARIAL and row["state"] in FINAL]
        for group in variants(frame)
    ]
    return [group for group in groups if group]


def judged_variants(frame: pd.DataFrame, runs: Path, settings: Fidelity) -> tuple[list[Variant], list[str]]:
    """Return the variants of which something was measured, and a message for each run that cannot be read."""
    groups = adversarial_rows(frame)
    extra = varying(groups, identity_columns(frame))
    found, problems = [], []
    for group in groups:
        seeds = []
        for row in group:
            try:
                cell = cell_in(runs / row["run"])
                epochs = cached(runs / row["run"], cell, settings)
            except ValueError as error:
                problems.append(str(error))
                continue
            if epochs:
                seeds.append(Seed(row, epochs, classifier_cell(cell, settings).run_name))
        if seeds:
            found.append(Variant(short_label(group[0], extra), seeds))
    return found, problems
