"""The table of weight norms, and the analysis that writes it beside its figures (conf/analysis/weight_norms.yaml)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd

from scs_study.analysis.collect import identity_columns
from scs_study.analysis.plots.weight_norms import draw_weight_norms
from scs_study.analysis.registry import Analysis, Subject
from scs_study.analysis.table_writer import write_table
from scs_study.analysis.variants import label, recipe_words, variants, varying
from scs_study.analysis.weight_norms.growth import Growth, growth, step_norms


def weight_norms(frame: pd.DataFrame, runs: Path, folder: Path) -> tuple[Path, ...]:
    """Return the paths of the weight-norm figures and table of the runs in `frame`, in folder/figures and /tables."""
    return (*draw_weight_norms(frame, runs, folder / "figures"), *_table(frame, runs, folder / "tables"))


def _table(frame: pd.DataFrame, runs: Path, folder: Path) -> tuple[Path, ...]:
    groups = variants(frame)
    extra = varying(groups, identity_columns(frame))
    rows = []
    for group in groups:
        for row in group:
            norms = step_norms(runs / row["run"])
            if norms is None:
                continue
            rows.append((row, label(row, extra), growth(norms)))
    if not rows:
        return ()
    heads = (
        "variant",
        "seed",
        "state",
        "epochs",
        "start",
        "end",
        "end/start",
        "least",
        "greatest",
        "rising",
        "never fell",
    )
    cells = [
        (words, row["seed"], row["state"], row["epochs_done"], f"{g.start:.3g}", f"{g.end:.3g}", f"{g.ratio:.2f}",
         f"{g.smallest:.2f}", f"{g.largest:.2f}", f"{g.rising}/{g.layers}", f"{g.monotone}/{g.layers}")
        for row, words, g in rows
    ]  # fmt: skip
    caption = (
        "L2 norms of the layers' weights before the first and after the last mini-batch (geometric means over the "
        "layers), their ratio with the least and greatest of any layer, how many layers rose in more mini-batches than "
        f"they fell, and how many never fell over an epoch. {recipe_words([row for row, _, _ in rows])}."
    )
    names = [field.name for field in dataclasses.fields(Growth)]
    values = [(row["run"], *dataclasses.astuple(g)) for row, _, g in rows]
    return write_table(folder, "weight_norms", caption, (heads, cells), (("run", *names), values))


def _report(subject: Subject) -> tuple[Path, ...]:
    return weight_norms(subject.frame, subject.runs, subject.folder)


ANALYSIS = Analysis(_report)
