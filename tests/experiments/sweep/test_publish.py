"""A sweep's table and figure are functions of its trials and their run folders: held to golden ones."""

import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from PIL import Image

from scs_study.analysis.sweep.figures import accuracy_figure, draw_accuracy
from scs_study.analysis.sweep.findings import importance_words, importances
from scs_study.analysis.sweep.publish import publish
from scs_study.analysis.sweep.rows import rows_of
from scs_study.analysis.sweep.tables import caption, to_csv
from scs_study.analysis.sweep.threshold import threshold
from tests.experiments.sweep.sweeps import sweep, write_run

GOLDEN = Path(__file__).parent / "golden"
TRIALS = [  # p, the trial's state, the run's state, test accuracy after each epoch
    (1.18, TrialState.COMPLETE, "done", [0.52, 0.61, 0.72, 0.78, 0.77]),
    (8.84, TrialState.COMPLETE, "done", [0.4, 0.55, 0.7, 0.71, 0.76]),
    (0.115, TrialState.PRUNED, "interrupted", [0.1, 0.14]),
    (2.5, TrialState.FAIL, "interrupted", [0.53, 0.6]),
    (0.62, TrialState.PRUNED, "interrupted", [0.41, 0.44]),
    (0.2, TrialState.PRUNED, "diverged", [0.12, None]),
    (5.1, TrialState.COMPLETE, "done", [0.5, 0.6, 0.7, 0.775, 0.77]),
    (0.9, TrialState.FAIL, "failed", [0.5]),
    (0.7, TrialState.PRUNED, "done", [0.5, 0.55, 0.6, 0.77, 0.775]),
    (3.3, TrialState.WAITING, None, []),
]


def _trial(p, state, seed=0, seeds=(0,), value=None, **attributes):
    if state == TrialState.WAITING:
        return create_trial(state=state, system_attrs={"fixed_params": {"p": p, "seed": seed}}, user_attrs=attributes)
    space = {"p": FloatDistribution(0.1, 10, log=True), "seed": CategoricalDistribution(list(seeds))}
    steps = {} if value is None else {1: value / 2, 2: value}
    known = {"state": state, "params": {"p": p, "seed": seed}, "distributions": space, "user_attrs": attributes}
    known["intermediate_values"] = steps
    return create_trial(value=value if state == TrialState.COMPLETE else None, **known)


@pytest.fixture
def made():
    return sweep(overrides={"train.epochs": 5}, trials=10)


@pytest.fixture
def study(made, tmp_path, quiet_optuna):
    return _study(made, tmp_path)


def _study(made, runs):
    study = optuna.create_study(direction="maximize")
    messages = {"failed": "RuntimeError: out of memory", "diverged": "the test loss is not finite in epoch 2"}
    for p, state, run, accuracies in TRIALS:
        study.add_trial(_trial(p, state, value=max([a for a in accuracies if a is not None], default=None)))
        if run is not None:
            write_run(runs, made.cell({"p": p}, 0), accuracies, run, messages.get(run, ""))
    # Trial 3's worker was killed, and another one is at its p: the same row.
    study.add_trial(_trial(2.5, TrialState.RUNNING, retry_of=3, because="its worker is gone", epoch=2))
    study.set_user_attr("scs_study:optuna", "5.0.0")
    return study


def test_the_table_and_its_answer_are_the_golden_ones_byte_for_byte(study, made, tmp_path):
    text = publish(study, made, tmp_path, tmp_path / "results")
    assert text == (GOLDEN / "trials.md").read_text()
    assert (tmp_path / "results" / "trials.md").read_text() == text
    assert (tmp_path / "results" / "trials.csv").read_bytes() == (GOLDEN / "trials.csv").read_bytes()


def test_the_figure_shows_what_the_golden_one_shows(study, made, tmp_path):
    rows = rows_of(study.trials, made, tmp_path)
    assert _shown(rows, made) == (GOLDEN / "accuracy_p.txt").read_text()


def _shown(rows, made):
    """What a figure shows, as text: the same on every machine, which its pixels are not (fonts)."""
    found = threshold(rows, "p", made.margin)
    (axes,) = draw_accuracy(rows, found, made, made.line, "head", "words").axes
    lines = [f"{axes.get_xscale()} {axes.get_xlabel()} | {axes.get_ylabel()}"]
    for marks in axes.collections:
        points = np.asarray(marks.get_offsets())
        lines.append(f"{marks.get_label()}: " + ", ".join(f"{x:g} {y:.2f}" for x, y in points))
    lines += [
        f"{patch.get_label()}: {np.round(patch.get_extents().bounds, 0).tolist()[2] > 0}" for patch in axes.patches
    ]
    lines += [f"line at {line.get_xdata()[0]:.4g}" for line in axes.lines]
    return "\n".join(lines) + "\n"


def test_a_figure_drawn_twice_is_the_same_file(study, made, tmp_path):
    rows = rows_of(study.trials, made, tmp_path)
    arguments = rows, threshold(rows, "p", made.margin), made, made.line, "head", "words"
    first, second = (accuracy_figure(*arguments, tmp_path / name) for name in ("one", "two"))
    assert [path.name for path in first] == ["accuracy_p.png", "accuracy_p.pdf"]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_all_figures_are_written_even_of_a_study_that_has_nothing_yet(made, tmp_path):
    study = optuna.create_study(direction="maximize")
    text = publish(study, made, tmp_path, tmp_path / "results")
    assert "10 trials: none begun" in text
    assert "No answer yet" in text
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names == {"trials.csv", "trials.md"} | {f"accuracy_p.{kind}" for kind in ("png", "pdf")}


def test_optunas_own_figures_show_the_trials(study, made, tmp_path):
    before = dict(matplotlib.rcParams)
    publish(study, made, tmp_path, tmp_path / "results")
    for name in ("optuna_history", "optuna_intermediate"):
        with Image.open(tmp_path / "results" / f"{name}.png") as picture:
            assert len(picture.getcolors(1 << 24) or []) > 50
    assert not (tmp_path / "results" / "optuna_importance.png").exists()  # one seed: nothing to weigh p against
    assert dict(matplotlib.rcParams) == before


def test_a_trial_taken_up_again_is_one_row_with_its_attempts(study, made, tmp_path):
    (row,) = [row for row in rows_of(study.trials, made, tmp_path) if row.point["p"] == 2.5]
    assert (row.number, row.attempts, row.epochs) == (10, 2, 2)


def test_the_run_has_the_last_word_about_a_pruned_trial(study, made, tmp_path):
    states = {row.point["p"]: row.state for row in rows_of(study.trials, made, tmp_path)}
    assert states[0.62] == "pruned"
    assert states[0.7] == "done"  # finished since, for another study
    assert states[0.2] == "diverged"


def test_accuracy_is_the_best_so_far(study, made, tmp_path):
    (row,) = [row for row in rows_of(study.trials, made, tmp_path) if row.point["p"] == 1.18]
    assert row.curve == (0.52, 0.61, 0.72, 0.78, 0.78)


def test_importance_is_told_only_where_p_is_weighed_against_the_seed(made):
    one, several = (optuna.create_study(direction="maximize") for _ in range(2))
    for k, p in enumerate(np.geomspace(0.1, 10, 15)):
        value = 0.8 if p > 1 else 0.3
        one.add_trial(_trial(p, TrialState.COMPLETE, value=value))
        several.add_trial(_trial(p, TrialState.COMPLETE, seed=k % 3, seeds=(0, 1, 2), value=value))
    assert importances(one, made) == {}
    (sentence,) = importance_words(importances(several, sweep(seeds=[0, 1, 2])), several)
    assert sentence.startswith("Importance among the 15 finished trials")
    p, seed = (float(sentence.partition(f"{name} ")[2][:4]) for name in ("p", "seed"))
    assert p > seed


def test_the_caption_says_what_was_swept_and_on_what(study, made, tmp_path):
    words = caption(rows_of(study.trials, made, tmp_path), made)
    for fact in ("rohrer25k", "digits at 32 pixels", "5 epochs", "TPE", "median", "10 trials", "4 done", "2 pruned"):
        assert fact in words


if __name__ == "__main__":  # writes the golden files anew: python -m tests.experiments.sweep.test_publish
    with tempfile.TemporaryDirectory() as name:
        runs, chosen = Path(name), sweep(overrides={"train.epochs": 5}, trials=10)
        written = _study(chosen, runs)
        found = rows_of(written.trials, chosen, runs)
        (GOLDEN / "trials.md").write_text(publish(written, chosen, runs, runs / "results"))
        (GOLDEN / "trials.csv").write_text(to_csv(found, chosen))
        (GOLDEN / "accuracy_p.txt").write_text(_shown(found, chosen))
