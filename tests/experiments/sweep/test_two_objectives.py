"""Accuracy over parameters: drawn by Optuna for both, and the front in the table, in words and as a figure."""

import pytest
from PIL import Image

from scs_study.analysis.sweep import findings
from scs_study.analysis.sweep.findings import front, importances, points, sentences
from scs_study.analysis.sweep.pareto import draw_front
from scs_study.analysis.sweep.publish import publish
from scs_study.analysis.sweep.rows import rows_of
from scs_study.experiments.sweep import settings
from scs_study.experiments.sweep.scheduler import TrialScheduler
from scs_study.experiments.sweep.storage import join
from tests.experiments.sweep.sweeps import sweep, write_run

pytestmark = pytest.mark.usefixtures("quiet_optuna")

SIZES = {"rohrer25k": 25_000, "rohrer68k": 68_000, "rohrer100k": 114_000}
SPACE = {"arch": list(SIZES), "train.max_lr": "log 0.001..0.1"}


def both(**others):
    known = {"space": SPACE, "objectives": ["accuracy", "parameters"], "pruner": "none", "tpe_startup": 5}
    return sweep(**{**known, **others})


def scheduler_of(made, runs):
    return TrialScheduler(join(made, "a-study", None, runs, lambda: False, {}), made, runs, {})


def accuracy_of(point):
    """The larger network is the better one, but for the largest; a rate of 0.01 is the best."""
    size = {"rohrer25k": 0.6, "rohrer68k": 0.8, "rohrer100k": 0.75}[point["arch"]]
    return round(size - 0.3 * abs(point["max_lr"] - 0.01), 4)


def worked(made, runs):
    """The study after all of its trials, with run folders of what they found."""
    scheduler = scheduler_of(made, runs)
    while (taken := scheduler.acquire()) is not None:
        value, count = accuracy_of(taken.point), SIZES[taken.point["arch"]]
        if not (runs / taken.cell.run_name).exists():
            write_run(runs, taken.cell, [value / 2, value], "done", parameters=count)
        scheduler.complete(taken, value, count)
    return scheduler.study


def test_the_front_is_what_nothing_is_better_than_in_both(tmp_path):
    made = both(trials=20)
    study = worked(made, tmp_path)
    rows = rows_of(study.trials, made, tmp_path)
    found = front(rows, made)
    assert [each.parameters for each in found] == [25_000, 68_000]  # the largest is beaten by a smaller one
    theirs = {(trial.values[0], trial.values[1]) for trial in study.best_trials}
    assert {(each.accuracy, float(each.parameters)) for each in found} == theirs
    (sentence,) = sentences(rows, made)
    assert f"{100 * found[1].accuracy:.2f} % with 68,000" in sentence
    (axes,) = draw_front(points(rows, made), found, made, "head").axes
    drawn = {tuple(place) for marks in axes.collections for place in marks.get_offsets().tolist()}
    assert {(float(SIZES[row.point["arch"]]), 100 * row.accuracy) for row in rows} == drawn


def test_table_and_figures_of_two_objectives(tmp_path):
    made = both(trials=12)
    study = worked(made, tmp_path)
    text = publish(study, made, tmp_path, tmp_path / "results")
    lines = (tmp_path / "results" / "trials.csv").read_text().splitlines()
    assert lines[0].startswith("arch,max_lr,seed,state,accuracy,parameters,front,epochs")
    assert len(lines) == 13
    assert 0 < sum(",yes," in line for line in lines) < 12
    assert "Importance among the 12 finished trials" in text
    assert set(importances(study, made)) == {"arch", "max_lr"}
    for name in ("pareto", "slices", "optuna_history", "optuna_importance"):
        with Image.open(tmp_path / "results" / f"{name}.png") as picture:
            assert len(picture.getcolors(1 << 24) or []) > 20, name
    assert not (tmp_path / "results" / "optuna_intermediate.png").exists()


def test_several_seeds_of_a_point_are_one_point_of_the_front(tmp_path):
    made = both(sampler="grid", points=2, seeds=[0, 1])
    rows = rows_of(worked(made, tmp_path).trials, made, tmp_path)
    assert len(rows) == made.total == 12
    assert [len(each.trials) for each in front(rows, made)] == [2, 2]


def test_the_search_goes_on_where_both_are_good(tmp_path):
    """The largest network is beaten in both by another one, and so it is drawn less and less."""
    made = both(trials=40, tpe_startup=10)
    drawn = [trial.params["arch"] for trial in worked(made, tmp_path).trials]
    assert drawn[20:].count("rohrer100k") < 20 / 3


def test_a_trial_that_diverged_is_no_obstacle(tmp_path):
    made = both(trials=14)
    scheduler = scheduler_of(made, tmp_path)
    for number in range(14):
        taken = scheduler.acquire()
        if number % 3:
            scheduler.complete(taken, accuracy_of(taken.point), SIZES[taken.point["arch"]])
        else:
            scheduler.prune(taken)
    assert scheduler.acquire() is None


def test_a_worker_of_one_objective_is_refused_by_a_study_of_two(tmp_path):
    scheduler_of(both(trials=2), tmp_path)
    with pytest.raises(ValueError, match=r"sweep.objectives \['accuracy', 'parameters'\] \(here unset\)"):
        scheduler_of(both(trials=2, objectives=["accuracy"]), tmp_path)


def test_settings_that_refuse_each_other_end_one_trial(tmp_path, monkeypatch):
    """In a space with more corners than are tried beforehand."""
    monkeypatch.setattr(settings, "MOST_CORNERS", 1)
    space = {"layer.p_init": [[1, 3], [1, 1]], "train.schedule": ["onecycle", "constant"], "train.warm_up": [None, 0.2]}
    made = sweep(space=space, pruner="none", sampler="grid")
    scheduler = scheduler_of(made, tmp_path)
    taken = []
    while (each := scheduler.acquire()) is not None:
        taken.append(each)
        scheduler.complete(each, 0.5)
    assert len(taken) == 6  # of 8: with schedule=constant no rate rises
    rows = rows_of(scheduler.study.get_trials(), made, tmp_path)
    refused = [row for row in rows if row.state == "refused"]
    assert [row.point["schedule"] for row in refused] == ["constant", "constant"]
    assert all("no effect on train.schedule=constant" in row.message for row in refused)
    assert "2 refused" in publish(scheduler.study, made, tmp_path, tmp_path / "results")
    assert scheduler_of(made, tmp_path).retry_failed() == 0


def test_the_best_of_one_objective_is_told(tmp_path):
    made = sweep(space=SPACE, pruner="none", tpe_startup=5, trials=6)
    scheduler = scheduler_of(made, tmp_path)
    while (taken := scheduler.acquire()) is not None:
        write_run(tmp_path, taken.cell, [accuracy_of(taken.point)], "done")
        scheduler.complete(taken, accuracy_of(taken.point))
    rows = rows_of(scheduler.study.trials, made, tmp_path)
    best = max(rows, key=lambda row: row.accuracy)
    assert findings.sentences(rows, made) == [
        f"Best: {100 * best.accuracy:.2f} % with {made.describe(best.point)} (trial {best.number})."
    ]
