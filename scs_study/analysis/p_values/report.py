"""The table of exponents, and the analysis that writes it beside its figures (conf/analysis/p_values.yaml)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd

from scs_study.analysis.collect import identity_columns
from scs_study.analysis.p_values.motion import Motion, first_layer, motion
from scs_study.analysis.plots.p_values import draw_p_values
from scs_study.analysis.registry import Analysis, Subject
from scs_study.analysis.table_writer import write_table
from scs_study.analysis.variants import label, recipe_words, variants, varying


def p_values(frame: pd.DataFrame, runs: Path, folder: Path) -> tuple[Path, ...]:
    """Return the paths of the figures and of the table of all runs in `frame`, in folder/figures and folder/tables."""
    return (*draw_p_values(frame, runs, folder / "figures"), *_table(frame, runs, folder / "tables"))


def _table(frame: pd.DataFrame, runs: Path, folder: Path) -> tuple[Path, ...]:
    groups = variants(frame)
    extra = varying(groups, identity_columns(frame))
    rows = [
        (row, label(row, extra), motion(p))
        for group in groups
        for row in group
        if (p := first_layer(runs / row["run"])) is not None
    ]
    if not rows:
        return ()
    heads = ("variant", "seed", "epochs", "kernels", "monotone %", "straightness", "median p first", "last", "range")
    cells = [
        (words, row["seed"], row["epochs_done"], m.kernels, f"{100 * m.monotone:.0f}", f"{m.straight:.2f}",
         f"{m.first:.3f}", f"{m.last:.3f}", f"{m.low:.2f} to {m.high:.2f}")
        for row, words, m in rows
    ]  # fmt: skip
    caption = (
        "p of the kernels of the first layer after every epoch. Monotone: kernels whose p never turned back. "
        "Straightness: the way from the first to the last epoch divided by the way travelled, median over the kernels. "
        f"{recipe_words([row for row, _, _ in rows])}."
    )
    names = [field.name for field in dataclasses.fields(Motion)]
    values = [(row["run"], *dataclasses.astuple(m)) for row, _, m in rows]
    return write_table(folder, "p_values", caption, (heads, cells), (("run", *names), values))


def _report(subject: Subject) -> tuple[Path, ...]:
    return p_values(subject.frame, subject.runs, subject.folder)


ANALYSIS = Analysis(_report)
