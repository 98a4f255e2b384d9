"""The command itself: real processes on one study, on a journal and on a PostgreSQL, some of them killed."""

import csv
import json
import os
import re
import signal
from pathlib import Path

import pytest
import torch

from scs_study.analysis.sweep.rows import rows_of
from scs_study.experiments.sweep.source import SweepPlan, SweepSource
from scs_study.experiments.sweep.storage import load
from scs_study.launch.inline import run_inline
from scs_study.runs.context import RunContext
from scs_study.training.run import Settings
from tests.experiments.sweep.sweeps import sweep
from tests.gates import state_of, until
from tests.support import commands
from tests.support.work import ENDLESS

NAME = "a-study"
# The draws of this seed: a good p (1.44), then bad ones (below 0.16 or above 7), so that some must be pruned.
CELL = {"arch": "rohrer47k", "train.epochs": 2}
SEARCH = {"trials": 4, "sampler_seed": 4219, "warmup": 1, "prune_startup": 1}
LONG = ("arch=rohrer68k", "train.batch_size=256", f"train.epochs={ENDLESS}")
"""Trials of short epochs that do not end by themselves."""


class Command:
    """A start of scripts/sweep.py, its output as it comes."""

    def __init__(self, where: Path, *arguments: str, url: str | None = None) -> None:
        recipe = [f"{key}={value}" for key, value in CELL.items()]
        recipe += [f"sweep.{key}={value}" for key, value in SEARCH.items()]
        folders = [f"runs={where / 'runs'}", f"results={where / 'results'}"]
        environment = {**os.environ, "SCS_SWEEP_STORAGE": url} if url else dict(os.environ)
        self.log = where / f"log-{len(list(where.glob('log-*')))}"
        with self.log.open("w") as file:
            line = [f"name={NAME}", "engine.threads=1", *recipe, *arguments, *folders]
            self.process = commands.Command("sweep.py", *line, stdout=file, stderr=file, env=environment, cwd=where)

    def wait(self) -> int:
        return self.process.wait()

    @property
    def output(self) -> str:
        return self.log.read_text()


def in_the_middle(shut, where):
    """A gate for processes that have computed the second epoch of any run and not recorded it."""
    return shut(f"{where}/runs/*/history.jsonl", lines=1)


def unfinished(runs):
    """The runs that say they are running: those of dead processes among them."""
    return [status.parent for status in runs.glob("*/status.json") if state(status.parent) == "running"]


def state(run):
    return json.loads((run / "status.json").read_text())["state"]


def run_of(runs, pid):
    """The folder of the run that a process works on."""
    leases = {run: json.loads(max(run.glob("lease-*.json")).read_text())["pid"] for run in unfinished(runs)}
    (run,) = [run for run, owner in leases.items() if owner == pid]
    return run


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def trials_of(url, runs):
    study = load(NAME, url, runs)
    trials = study.get_trials()
    if url is not None:
        study._storage.remove_session()
        study._storage._backend.engine.dispose()
    return trials


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["journal", "postgresql"])
def test_two_workers_share_a_study_and_one_that_is_killed_costs_nothing(storage, tmp_path, request, shut):
    url = request.getfixturevalue("postgresql") if storage == "postgresql" else None
    runs = tmp_path / "runs"
    gate = in_the_middle(shut, tmp_path)
    first = Command(tmp_path, url=url)
    second = Command(tmp_path, url=url)
    pid = gate.reached()
    orphan = run_of(runs, pid)
    killed, left = (first, second) if first.process.pid == pid else (second, first)
    assert killed.process.pid == pid
    until(lambda: left.process.pid in gate.held())  # both have a trial, and so it is the other's to take this one over
    killed.process.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    before = (orphan / "history.jsonl").read_bytes()
    gate.open()

    assert left.wait() == 0, left.output

    # Nothing is lost: the orphan was continued from its checkpoint, by the other worker, as a trial of its own.
    assert f"p={re.search('_p([0-9.]+)-', orphan.name)[1]}" in left.output
    assert "in place of trial" in left.output
    assert (orphan / "history.jsonl").read_bytes().startswith(before)
    assert [start["restart"] for start in lines(orphan / "provenance.jsonl")] == [0, 1]
    # The cap holds over both workers, the repeated trial is no trial more, and every one has an end.
    with (tmp_path / "results" / "sweep" / NAME / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert {row["state"] for row in rows} <= {"done", "pruned"}
    assert [row["attempts"] for row in rows if row["run"] == orphan.name] == ["2"]
    assert sorted(row["run"] for row in rows) == sorted(path.parent.name for path in runs.glob("*/config.json"))
    # Some were pruned, and a pruned run could be continued.
    pruned = [runs / row["run"] for row in rows if row["state"] == "pruned"]
    assert pruned
    for folder in pruned:
        assert (folder / "checkpoint.safetensors").exists()
        assert json.loads((folder / "status.json").read_text())["state"] == "interrupted"
    # All trials reported after the same epochs, the repeated one too.
    for trial in trials_of(url, runs):
        if trial.state.name in ("COMPLETE", "PRUNED"):
            assert list(trial.intermediate_values) == list(range(1, len(trial.intermediate_values) + 1))


@pytest.mark.slow
def test_ctrl_c_leaves_a_study_that_continues(tmp_path, shut):
    runs = tmp_path / "runs"
    gate = in_the_middle(shut, tmp_path)
    both = Command(tmp_path, "workers=2", "sweep.trials=2", "sweep.pruner=none")
    gate.reached()
    both.process.send_signal(signal.SIGINT)
    until(lambda: both.output.count("SIGTERM: writing a checkpoint"))  # what the workers are told then
    gate.open()
    assert both.wait() == 130, both.output
    assert "goes on from here when the same command is given again" in both.output
    assert "Traceback" not in both.output
    trials = trials_of(None, runs)
    taken = {trial.user_attrs["run"] for trial in trials if "run" in trial.user_attrs}
    assert taken
    assert not [trial for trial in trials if trial.state.name == "RUNNING"]

    assert _states(_work(tmp_path, NAME)) == ["done", "done"]
    assert {path.parent.name for path in runs.glob("*/result.json")} >= taken
    # The trials are runs like any other: another study finds them done, and computes nothing.
    starts = [path.read_bytes() for path in sorted(runs.glob("*/provenance.jsonl"))]
    assert _states(_work(tmp_path, "another")) == ["done", "done"]
    assert [path.read_bytes() for path in sorted(runs.glob("*/provenance.jsonl"))] == starts


def test_workers_whose_launcher_is_killed_stop_with_a_checkpoint(tmp_path, shut):
    """Else the same command, given again, would make them twice as many."""
    runs = tmp_path / "runs"
    gate = in_the_middle(shut, tmp_path)
    both = Command(tmp_path, "workers=2", "sweep.pruner=none", *LONG)
    until(lambda: len(gate.held()) == 2)
    both.process.kill()
    assert both.wait() == -signal.SIGKILL
    gate.open()
    until(lambda: not unfinished(runs))
    trials = list(runs.glob("*-s0-*"))
    assert len(trials) == 2
    for folder in trials:
        assert state(folder) == "interrupted"
        assert (folder / "checkpoint.safetensors").exists()


def test_ctrl_c_twice_ends_at_once_and_without_a_traceback(tmp_path, shut):
    """Even if a worker is stuck: the gate is never opened."""
    gate = in_the_middle(shut, tmp_path)
    command = Command(tmp_path, "workers=2", "sweep.pruner=none", *LONG)
    worker = gate.reached()
    command.process.send_signal(signal.SIGINT)
    until(lambda: "SIGINT: writing a checkpoint" in command.output)
    command.process.send_signal(signal.SIGINT)
    assert command.wait() == 130, command.output
    assert "Traceback" not in command.output
    until(lambda: state_of(worker) in ("", "Z"))


def _work(where, name):
    """The rows of the study after a worker in this process has done what is left of it."""
    made = sweep(overrides=CELL, **{**SEARCH, "trials": 2, "pruner": "none"})
    runs = where / "runs"
    source = SweepSource.of(SweepPlan(made, name, None), runs, retry_failed=True)
    run_inline(source, RunContext(runs, Settings(torch.device("cpu")), None, where / "data"))
    return rows_of(load(name, None, runs).get_trials(), made, runs)


def _states(rows):
    return [row.state for row in rows]


def test_two_objectives_are_those_of_the_runs_whatever_their_widths(tmp_path):
    space = {"arch.widths": [[2, 3], [4, 4, 4]], "train.max_lr": "log 0.001..0.01"}
    search = {"objectives": ["accuracy", "parameters"], "pruner": "none", "warmup": 1, "trials": 3, "tpe_startup": 3}
    cell = {"arch": "tied", "norm": "batchnorm", "train.epochs": 1, "train.batch_size": 256}
    made = sweep(overrides=cell, space=space, sampler_seed=1, **search)
    context = RunContext(tmp_path / "runs", Settings(torch.device("cpu")), None, tmp_path / "data")
    run_inline(SweepSource.of(SweepPlan(made, NAME, None), context.runs, retry_failed=True), context)
    trials = load(NAME, None, context.runs).get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    for trial in trials:
        result = json.loads((context.runs / trial.user_attrs["run"] / "result.json").read_text())
        assert trial.values == [result["best_test_accuracy"], result["parameters"]]
        assert trial.user_attrs["reported"] == 1
        widths = json.loads(trial.params["widths"])
        assert trial.user_attrs["run"].startswith(f"tied_w{'-'.join(map(str, widths))}-scs-")
    assert len({tuple(trial.values[1:]) for trial in trials}) == 2


def test_what_a_sweep_cannot_do_is_refused_before_it_starts(tmp_path):
    started = Command(tmp_path, "launch.side_by_side=4")
    assert started.wait() == 2
    assert started.output.startswith("error: launch.side_by_side has no effect on a sweep")
    assert not (tmp_path / "runs").exists()
