import itertools
import math
import statistics

import optuna
import pytest
from optuna.trial import TrialState

from scs_study.experiments.sweep.dimension import rounded
from scs_study.experiments.sweep.sampler import RoundedTPE, draw, make_pruner
from tests.experiments.sweep.sweeps import sweep

pytestmark = pytest.mark.usefixtures("quiet_optuna")


def _study(**settings):
    made = sweep(**settings)
    study = optuna.create_study(direction="maximize", sampler=RoundedTPE(made), pruner=make_pruner(made))
    return study, made


def _draw(study, made, value=None):
    trial = study.ask()
    p = draw(trial, made)[0]["p"]
    if value is not None:
        study.tell(trial, value(p))
    return p


def _peak(p):
    return -(math.log(p / 2) ** 2)


def test_the_study_itself_holds_the_rounded_p():
    study, made = _study()
    drawn = [_draw(study, made, _peak) for _ in range(15)]
    assert drawn == [trial.params["p"] for trial in study.trials] == [rounded(p) for p in drawn]
    assert all(0.1 <= p <= 10 for p in drawn)


def test_the_range_is_covered_evenly_in_log_p_before_tpe_models_anything():
    study, made = _study(tpe_startup=400)
    logs = sorted(math.log10(_draw(study, made, _peak)) for _ in range(300))
    assert abs(statistics.mean(logs)) < 0.12
    assert (
        max(abs(value - (2 * (i + 0.5) / 300 - 1)) for i, value in enumerate(logs)) < 0.2
    )  # Kolmogorov's distance x 2


@pytest.mark.parametrize("startup", [400, 5])
def test_settings_of_a_trial_are_drawn_independently_of_each_other(startup):
    """Before TPE models anything, and, where no value is better than another one, afterwards."""
    space = {"train.max_lr": "log 0.001..0.1", "train.label_smoothing": "0..0.3", "train.batch_size": "int 8..256"}
    study, made = _study(tpe_startup=startup, space={**space, "pooling": ["max", "maxabs"]})
    points = []
    for number in range(150):
        trial = study.ask()
        points.append(draw(trial, made)[0])
        study.tell(trial, 0.5 + 0.001 * (number % 2))
    values = [
        [math.log(point["max_lr"]) for point in points],
        *([float(point[name]) for point in points] for name in ("label_smoothing", "batch_size")),
        [float(point["pooling"] == "max") for point in points],
    ]
    for first, second in itertools.combinations(values, 2):
        assert abs(statistics.correlation(first, second)) < 0.4


def test_the_first_setting_is_drawn_as_if_it_were_alone():
    alone, one = _study(tpe_startup=400)
    both, two = _study(tpe_startup=400, space={"layer.p": "log 0.1..10", "train.label_smoothing": "0..0.3"})
    assert [_draw(alone, one, _peak) for _ in range(9)] == [_draw(both, two, _peak) for _ in range(9)]


def test_tpe_then_looks_where_it_is_good():
    study, made = _study(tpe_startup=8)
    drawn = [_draw(study, made, _peak) for _ in range(40)]
    # Of p's drawn evenly, half would be further than 1.2 from the peak, in natural logarithms.
    assert statistics.median(abs(math.log(p / 2)) for p in drawn[-20:]) < 0.6


def test_a_worker_that_was_interrupted_draws_what_it_would_have_drawn():
    one, made = _study()
    whole = [_draw(one, made, _peak) for _ in range(12)]
    two, _ = _study()
    first = [_draw(two, made, _peak) for _ in range(7)]
    again = optuna.load_study(study_name=two.study_name, storage=two._storage, sampler=RoundedTPE(made))
    assert first + [_draw(again, made, _peak) for _ in range(5)] == whole


def test_workers_that_start_together_do_not_draw_the_same():
    study, made = _study()
    other = optuna.load_study(study_name=study.study_name, storage=study._storage, sampler=RoundedTPE(made))
    assert len({_draw(each, made) for each in (study, other, study, other)}) == 4


def test_the_seed_is_never_optimised():
    study, made = _study(seeds=[0, 1, 2], tpe_startup=2)
    for k in range(6):
        study.enqueue_trial({"seed": k % 3})
        _draw(study, made, _peak)
    trial = study._storage.get_all_trials(study._study_id)[-1]
    assert set(study.sampler.infer_relative_search_space(study, trial)) == {"p"}


def _run(study, made, values):
    """(state, epochs) of a trial that reports `values`, pruned where the pruner says so."""
    trial = study.ask()
    draw(trial, made)
    for epoch, value in enumerate(values, start=1):
        trial.report(value, epoch)
        if epoch < len(values) and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return TrialState.PRUNED, epoch
    study.tell(trial, values[-1])
    return TrialState.COMPLETE, len(values)


GOOD, BAD = [0.5, 0.6, 0.7, 0.8, 0.85, 0.9], [0.1] * 6


def test_the_median_prunes_a_bad_trial_after_the_warm_up_once_enough_are_done():
    study, made = _study(pruner="median", prune_startup=2, warmup=3)
    assert _run(study, made, BAD) == (TrialState.COMPLETE, 6)
    assert _run(study, made, GOOD) == (TrialState.COMPLETE, 6)
    assert _run(study, made, GOOD) == (TrialState.COMPLETE, 6)
    assert _run(study, made, BAD) == (TrialState.PRUNED, 3)
    assert _run(study, made, GOOD) == (TrialState.COMPLETE, 6)


def test_hyperband_prunes_at_its_rungs_and_keeps_what_is_good():
    study, made = _study(pruner="hyperband", warmup=1)
    states = [_run(study, made, GOOD if k % 3 == 0 else BAD) for k in range(24)]
    bad = [state for k, state in enumerate(states) if k % 3]
    assert any(state == TrialState.PRUNED for state, _ in bad)
    assert {epoch for state, epoch in states if state == TrialState.PRUNED} <= {1, 3}


def test_no_pruner_prunes_nothing():
    study, made = _study(pruner="none")
    assert {_run(study, made, values)[0] for values in (GOOD, GOOD, BAD, BAD)} == {TrialState.COMPLETE}
