"""What a sweep leaves under results/: table, figures, and what it found in sentences."""

from __future__ import annotations

from pathlib import Path

import optuna

from scs_study.analysis.sweep.figures import accuracy_figure, importance_figure, optuna_figures, slices_figure
from scs_study.analysis.sweep.findings import front, importance_words, importances, points, sentences
from scs_study.analysis.sweep.pareto import pareto_figure
from scs_study.analysis.sweep.rows import rows_of
from scs_study.analysis.sweep.tables import caption, to_csv, to_markdown
from scs_study.analysis.sweep.threshold import threshold
from scs_study.experiments.sweep.settings import PARAMETERS, Sweep
from scs_study.experiments.sweep.storage import VERSION
from scs_study.system.files import write_text


def publish(study: optuna.Study, sweep: Sweep, runs: Path, folder: Path) -> str:
    """Write the sweep's table, with what it found, and its figures to `folder`; return the table as text.

    Written: trials.csv, trials.md; as PNG and PDF accuracy_<name> of a sweep over one range, slices of any other,
    pareto of two objectives, and Optuna's own figures.
    """
    rows = rows_of(study.get_trials(deepcopy=False), sweep, runs)
    best = front(rows, sweep) if PARAMETERS in sweep.objectives else []
    head, words, shares = caption(rows, sweep), sentences(rows, sweep), importances(study, sweep)
    notes = [*words, *importance_words(shares, study), f"Optuna {study.user_attrs.get(VERSION, optuna.__version__)}."]
    on_front = {each.words for each in best}
    text = to_markdown(rows, sweep, head, notes, on_front)
    write_text(folder / "trials.csv", to_csv(rows, sweep, on_front))
    write_text(folder / "trials.md", text)
    if sweep.line is None:
        slices_figure(rows, sweep, head, folder)
    else:
        found = threshold(rows, sweep.line.name, sweep.margin)
        accuracy_figure(rows, found, sweep, sweep.line, head, words[0], folder)
    if best:
        pareto_figure(points(rows, sweep), best, sweep, head, folder)
    importance_figure(shares, head, folder)
    optuna_figures(study, head, folder)
    return text
