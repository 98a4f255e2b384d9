"""What a sweep leaves under results/: table, figures, and the answer to the paper's question."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from scs_study.analysis.sweep.figures import accuracy_figure, optuna_figures
from scs_study.analysis.sweep.rows import rows_of
from scs_study.analysis.sweep.tables import caption, to_csv, to_markdown
from scs_study.analysis.sweep.threshold import answer, threshold
from scs_study.experiments.sweep.settings import Sweep
from scs_study.experiments.sweep.storage import VERSION
from scs_study.system.files import write_text

LEAST_FOR_IMPORTANCE = 8


def publish(study: optuna.Study, sweep: Sweep, runs: Path, folder: Path) -> str:
    """Write the sweep's table, with its answer, and its figures to `folder`; return the table as text.

    Written: trials.csv, trials.md, and as PNG and PDF accuracy_p and Optuna's own figures.
    """
    trials = study.get_trials(deepcopy=False)
    rows = rows_of(trials, sweep, runs)
    found = threshold(rows, sweep.margin)
    head, words = caption(rows, sweep), answer(found)
    weights = importance(study, sweep)
    notes = [words, *weights, f"Optuna {study.user_attrs.get(VERSION, optuna.__version__)}."]
    text = to_markdown(rows, head, notes)
    write_text(folder / "trials.csv", to_csv(rows))
    write_text(folder / "trials.md", text)
    accuracy_figure(rows, found, sweep, head, words, folder)
    optuna_figures(study, head, folder, weighed=bool(weights))
    return text


def importance(study: optuna.Study, sweep: Sweep) -> list[str]:
    """Return a sentence with the importance of p beside that of the seed; none where there is nothing to weigh p
    against.

    With one seed p is the only parameter, and its importance is 1 whatever the trials say.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(sweep.seeds) < 2 or len(done) < LEAST_FOR_IMPORTANCE:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        shares = optuna.importance.get_param_importances(study)
    if not {"p", "seed"} <= shares.keys() or not all(math.isfinite(share) for share in shares.values()):
        return []
    words = ", ".join(f"{name} {share:.2f}" for name, share in sorted(shares.items()))
    return [f"Importance among the {len(done)} finished trials (PED-ANOVA, shares of 1): {words}."]
