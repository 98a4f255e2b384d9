"""Trials are handed out once each, never too many, and those of dead workers again. Real processes die here."""

import math
import multiprocessing
import os
import signal
import time

import pytest
from optuna.trial import TrialState

from scs_study.experiments.sweep.scheduler import MOST_DEATHS, TrialScheduler
from scs_study.experiments.sweep.storage import JOURNAL, PLACE, join, load, study_folder
from scs_study.runs import lock as lease
from scs_study.runs.lock import acquire
from tests.experiments.sweep.sweeps import sweep, write_run
from tests.gates import PATIENCE

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.usefixtures("quiet_optuna"),
]
NAME = "a-study"


def open_scheduler(runs, made=None):
    made = made or sweep(trials=4)
    heartbeats = {}
    return TrialScheduler(join(made, NAME, None, runs, lambda: False, heartbeats), made, runs, heartbeats)


def in_another_process(runs, made, action):
    """The pid of a process that has done `action` with a scheduler and still lives."""
    here, there = multiprocessing.Pipe()

    def live():
        there.send(action(open_scheduler(runs, made)))
        time.sleep(600)

    process = multiprocessing.get_context("fork").Process(target=live, daemon=True)
    process.start()
    assert here.poll(PATIENCE)
    return process, here.recv()


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def acquire_p(scheduler):
    taken = scheduler.acquire()
    return taken.trial.number, taken.cell.layer.p


def states(scheduler):
    return [trial.state.name for trial in scheduler.study.get_trials()]


def test_no_more_trials_than_the_sweep_has_over_all_workers(tmp_path):
    one, two = open_scheduler(tmp_path), open_scheduler(tmp_path)
    taken = [scheduler.acquire() for scheduler in (one, two, two, one, one, two)]
    assert [t.trial.number for t in taken[:4]] == [0, 1, 2, 3]
    assert taken[4:] == [None, None]
    assert len({t.cell.run_name for t in taken[:4]}) == 4


def test_a_larger_sweep_continues_the_study(tmp_path):
    scheduler = open_scheduler(tmp_path, sweep(trials=1))
    scheduler.complete(scheduler.acquire(), 0.5)
    assert scheduler.acquire() is None
    assert open_scheduler(tmp_path, sweep(trials=2)).acquire().trial.number == 1


def test_a_grid_is_handed_out_point_by_point_whoever_asks(tmp_path):
    made = sweep(sampler="grid", points=3, seeds=[0, 5])
    desks = [open_scheduler(tmp_path, made) for _ in range(3)]
    taken = [desks[k % 3].acquire() for k in range(6)]
    assert [(t.point, t.cell.seed) for t in taken] == list(made.grid)
    assert desks[0].acquire() is None


def test_tpe_takes_the_seeds_in_turn(tmp_path):
    scheduler = open_scheduler(tmp_path, sweep(seeds=[3, 4], trials=5))
    assert [scheduler.acquire().cell.seed for _ in range(5)] == [3, 4, 3, 4, 3]


def test_a_live_workers_trial_is_left_to_it_and_a_dead_ones_is_tried_again(tmp_path):
    made = sweep(trials=1)
    worker, (number, p) = in_another_process(tmp_path, made, acquire_p)
    scheduler = open_scheduler(tmp_path, made)
    assert scheduler.acquire() is None
    assert scheduler.others() == 1
    assert not scheduler.worth_asking()
    kill(worker)
    assert scheduler.worth_asking()
    again = scheduler.acquire()
    assert (again.cell.layer.p, again.trial.user_attrs["retry_of"]) == (p, number)
    assert states(scheduler) == ["FAIL", "RUNNING"]
    assert scheduler.acquire() is None  # the same trial of the sweep, not one more


def test_a_worker_that_dies_between_taking_and_drawing_leaves_its_trial_to_others(tmp_path):
    made = sweep(sampler="grid", points=2)

    def ask(scheduler):
        scheduler.study.enqueue_trial(scheduler._fixed(0))
        return scheduler.study.ask().number

    worker, number = in_another_process(tmp_path, made, ask)
    kill(worker)
    taken = [open_scheduler(tmp_path, made).acquire() for _ in range(3)]
    assert [t and t.cell.layer.p for t in taken] == [0.1, 10.0, None]
    assert taken[0].trial.user_attrs["retry_of"] == number


def test_a_worker_that_dies_in_its_turn_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "STALE", math.inf)  # so it is not by its silence that its death is noticed

    def hold(scheduler):
        acquire(scheduler.folder / "turn")

    worker, _ = in_another_process(tmp_path, sweep(trials=4), hold)
    kill(worker)
    assert open_scheduler(tmp_path).acquire() is not None


def test_a_trial_given_back_is_the_next_one_taken(tmp_path):
    scheduler = open_scheduler(tmp_path)
    first, second = scheduler.acquire(), scheduler.acquire()
    scheduler.requeue(first)
    again = open_scheduler(tmp_path).acquire()
    assert again.cell == first.cell
    assert again.cell != second.cell
    assert again.trial.user_attrs["because"] == "stopped"


def test_a_failed_trial_is_tried_again_when_asked_and_once(tmp_path):
    scheduler = open_scheduler(tmp_path, sweep(trials=1))
    failed = scheduler.acquire()
    scheduler.fail(failed, "RuntimeError: no luck")
    assert scheduler.acquire() is None
    assert (scheduler.retry_failed(), scheduler.retry_failed()) == (1, 0)
    assert scheduler.acquire().cell == failed.cell


def test_a_trial_that_kills_its_workers_in_the_same_epoch_is_given_up(tmp_path):
    made = sweep(trials=1)
    for attempt in range(MOST_DEATHS):
        worker, (number, _) = in_another_process(tmp_path, made, acquire_p)
        assert number == attempt
        kill(worker)
    scheduler = open_scheduler(tmp_path, made)
    assert scheduler.acquire() is None
    assert set(states(scheduler)) == {"FAIL"}


def test_a_trial_that_gets_further_is_not_given_up(tmp_path):
    made = sweep(trials=1)
    for attempt in range(MOST_DEATHS + 1):
        worker, (number, p) = in_another_process(tmp_path, made, acquire_p)
        assert number == attempt
        folder = tmp_path / made.cell({"p": p}, 0).run_name
        if folder.exists():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        write_run(tmp_path, made.cell({"p": p}, 0), [0.1] * (attempt + 1), "running")
        kill(worker)
    assert open_scheduler(tmp_path, made).acquire() is not None


def test_many_processes_at_once_take_each_trial_once(tmp_path):
    made = sweep(trials=12)
    open_scheduler(tmp_path, made)  # they start on the study at once, but need not make it at once

    def take_all(scheduler):
        numbers = []
        while (taken := scheduler.acquire()) is not None:
            numbers.append(taken.trial.number)
        return numbers

    workers = [in_another_process(tmp_path, made, take_all) for _ in range(3)]
    numbers = [number for _, each in workers for number in each]
    for worker, _ in workers:
        kill(worker)
    assert sorted(numbers) == list(range(12))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pruner": "hyperband"}, "sweep.pruner median .here hyperband."),
        ({"warmup": 3}, "sweep.warmup 2 .here 3."),
        ({"high": 9.0}, "sweep.space.layer.p log 0.1..10 .here log 0.1..9."),
    ],
)
def test_a_worker_with_other_settings_is_refused_in_one_line(tmp_path, change, sentence):
    open_scheduler(tmp_path)
    with pytest.raises(ValueError, match=sentence) as caught:
        open_scheduler(tmp_path, sweep(trials=4, **change))
    assert "\n" not in str(caught.value)
    assert "the same settings" in str(caught.value)


def test_a_worker_with_another_runs_folder_is_refused(tmp_path):
    open_scheduler(tmp_path)
    (study_folder(tmp_path, NAME) / PLACE).unlink()
    with pytest.raises(ValueError, match="another runs folder"):
        open_scheduler(tmp_path)


def test_a_study_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(ValueError, match="no study a-study yet"):
        load(NAME, None, tmp_path)
    open_scheduler(tmp_path)
    with pytest.raises(ValueError, match="no study another yet"):
        load("another", None, tmp_path)
    assert load(NAME, None, tmp_path).get_trials(states=(TrialState.RUNNING,)) == []


def test_a_line_of_the_journal_that_was_cut_off_loses_that_line_alone(tmp_path):
    """As by a power cut: Optuna's own file would take the next line behind it, and never be read again."""
    scheduler = open_scheduler(tmp_path)
    scheduler.complete(scheduler.acquire(), 0.5)
    scheduler.complete(scheduler.acquire(), 0.6)
    journal = study_folder(tmp_path, NAME) / JOURNAL
    os.truncate(journal, journal.stat().st_size - 10)
    again = open_scheduler(tmp_path)
    assert states(again) == ["COMPLETE", "RUNNING"], "what was cut off is that the second one is done"
    again.complete(again.acquire(), 0.7)
    trials = load(NAME, None, tmp_path).get_trials()
    assert {trial.value for trial in trials if trial.state == TrialState.COMPLETE} == {0.5, 0.7}


def test_a_disk_that_was_full_costs_what_did_not_fit(tiny_disk):
    scheduler = open_scheduler(tiny_disk / "runs", sweep(trials=30))
    scheduler.complete(scheduler.acquire(), 0.5)
    taken = scheduler.acquire()
    ballast, free = tiny_disk / "ballast", os.statvfs(tiny_disk)
    ballast.write_bytes(bytes(free.f_bavail * free.f_frsize))

    def report_on():
        for epoch in range(1, 200):
            taken.trial.report(epoch / 1000, epoch)

    with pytest.raises(OSError, match="No space left"):
        report_on()
    ballast.unlink()
    again = open_scheduler(tiny_disk / "runs", sweep(trials=30))
    again.complete(again.acquire(), 0.6)
    assert states(open_scheduler(tiny_disk / "runs", sweep(trials=30))).count("COMPLETE") == 2


def test_a_trial_that_is_given_back_changes_no_later_p(tmp_path):
    def drawn(interrupted):
        made = sweep(trials=8, tpe_startup=4)
        scheduler, values = open_scheduler(tmp_path / interrupted, made), []
        for k in range(8):
            taken = scheduler.acquire()
            if str(k) in interrupted:
                scheduler.requeue(taken)
                taken = scheduler.acquire()
            values.append(taken.cell.layer.p)
            scheduler.complete(taken, 0.9 - math.log(values[-1] / 2) ** 2 / 10)
        return values

    assert drawn("never") == drawn("1 and 5")


def test_a_trial_that_was_just_given_back_is_waited_for(tmp_path):
    """Between a look at the trials and the next, the only other worker may have stopped."""
    one, other = (open_scheduler(tmp_path, sweep(trials=1)) for _ in range(2))
    one.requeue(one.acquire())
    assert other.others() == 1
    assert other.worth_asking()
    assert other.acquire() is not None
