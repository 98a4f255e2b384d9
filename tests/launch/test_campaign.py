"""A campaign with a time budget: it ends in time, says what is left, and whatever happens the same command goes on."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from scs_study.config.checks import time_span
from scs_study.config.schema import CellConfig
from scs_study.experiments.estimate import Cost
from scs_study.experiments.grid import SubStudy, load_study
from scs_study.launch.campaign import UNFINISHED, Campaign, epochs_done, in_order
from scs_study.launch.inline import inline
from scs_study.launch.pool import pool
from scs_study.launch.pool_size import PoolSize
from scs_study.launch.threads import side_by_side
from scs_study.runs.context import RunContext
from scs_study.runs.state import run_state
from scs_study.system import files
from scs_study.system.tensors import load_notes
from scs_study.training import checkpoint, stopping
from scs_study.training import run_dir as run_folder
from scs_study.training.run import Settings
from tests.gates import Gate, state_of, until
from tests.support import commands, work
from tests.support.work import SCS, content, run_context

Shut = Callable[..., Gate]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("25m", 1500), ("1h30m", 5400), ("2h0m5s", 7205)])
def test_a_time_with_its_units(text: str, seconds: float) -> None:
    assert time_span("launch.budget", text) == seconds


@pytest.mark.parametrize("value", [25, 1.5, True, "", "25", "m", "0m", "1.5h", "-5m", "30m1h", "5 m", "1d", "５m", [1]])
def test_a_time_that_could_mean_anything_is_refused_with_examples(value: object) -> None:
    with pytest.raises(ValueError, match=r"launch\.budget=.*: must be a time above 0 with its units, such as 90s, 25m"):
        time_span("launch.budget", value)


class Asked:
    """A clock that goes on by one whenever it is asked: a budget is then a number of steps, on any machine."""

    def __init__(self) -> None:
        self.count = itertools.count()

    def monotonic(self) -> float:
        return float(next(self.count))


@pytest.mark.parametrize("engine", ["eager", "graphed"])
@pytest.mark.parametrize("budget", [2, 7, 26])
def test_a_budget_ends_within_an_epoch_and_the_rest_makes_the_same_run(
    budget: int, engine: str, tmp_path: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 2 before the first step."""
    monkeypatch.setattr(stopping, "time", Asked())
    where = run_context(tmp_path, engine=engine)
    assert inline([SCS], where, deadline=budget)[SCS.run_name].state == "busy"
    assert run_state(tmp_path, SCS).state == "interrupted"
    notes = load_notes(tmp_path / SCS.run_name / checkpoint.NAME)
    if budget == 26:
        assert notes["epoch"] >= 1
    else:
        assert notes["epoch"] == 0
        assert 0 < notes["step"] < 8 or budget == 2
    assert epochs_done(SCS, where) == notes["epoch"] + notes["step"] / 8
    monkeypatch.undo()
    assert inline([SCS], where)[SCS.run_name].state == "done"
    assert content(tmp_path / SCS.run_name) == undisturbed


def test_cells_side_by_side_stop_for_a_budget(
    tmp_path: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "time", Asked())
    other = replace(SCS, seed=1)
    outcomes = side_by_side([SCS, other], run_context(tmp_path), 2, deadline=30)
    assert set(outcomes) == {SCS.run_name, other.run_name}
    assert all(outcome.state == "busy" for outcome in outcomes.values())
    monkeypatch.undo()
    side_by_side([SCS, other], run_context(tmp_path), 2)
    assert content(tmp_path / SCS.run_name) == undisturbed


@pytest.mark.parametrize(("workers", "side_by_side"), [(2, 1), (1, 2)], ids=["processes", "threads"])
def test_a_pool_stops_for_a_budget_and_its_workers_leave_checkpoints(
    workers: int, side_by_side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shut: Shut
) -> None:
    cells = [work.cell(seed=seed, epochs=work.ENDLESS, batch=256) for seed in (0, 1)]
    gates = [shut(tmp_path / each.run_name / run_folder.HISTORY, lines=1) for each in cells]
    up = threading.Event()

    class Clock:
        def monotonic(self) -> float:
            return float(up.is_set())

    def when_both_compute() -> None:
        for gate in gates:
            gate.reached()
        up.set()
        for gate in gates:
            gate.open()

    monkeypatch.setattr(stopping, "time", Clock())
    thread = threading.Thread(target=when_both_compute)
    thread.start()
    where = RunContext(tmp_path, Settings(torch.device("cpu")), None, tmp_path / "data")
    size = PoolSize(workers, 1, (torch.device("cpu"),), side_by_side)
    outcomes = pool(cells, where, size, deadline=1.0)
    thread.join()
    assert [outcomes[each.run_name].state for each in cells] == ["busy", "busy"]
    assert all(run_state(tmp_path, each).message.startswith("stopped in epoch") for each in cells)


def costs_of(cells: Sequence[CellConfig], seconds: Sequence[float]) -> dict[str, Cost]:
    return {each.run_name: Cost(one, 0, 0) for each, one in zip(cells, seconds, strict=True)}


def test_cells_come_in_the_order_of_a_study(tmp_path: Path) -> None:
    where = run_context(tmp_path)
    a, b = work.cell("conv"), work.cell("scs")
    a1, b1 = (replace(each, seed=1) for each in (a, b))
    cells, first = [a1, b1, a, b], load_study("table3")
    subs = [SubStudy(first, [b, b1]), SubStudy(first, [a, a1, b])]
    costs = costs_of(cells, [1.0, 2.0, 1.0, 2.0])

    def ordered(*order: str) -> list[CellConfig]:
        return in_order(order, cells, subs, where, costs)

    assert ordered("seed", "table", "cost") == [b, a, b1, a1]
    assert ordered("seed", "cost") == [a, b, a1, b1]
    assert ordered("cost", "seed") == [a, a1, b, b1]
    assert ordered() == cells
    (tmp_path / b1.run_name).mkdir()
    run_folder.write_status(tmp_path / b1.run_name, "interrupted", 1, 3, "stopped in epoch 2")
    assert ordered("seed", "table", "cost")[0] == b1, "half a run is worth nothing"


def test_a_parent_run_comes_before_who_starts_from_it(tmp_path: Path) -> None:
    child = replace(SCS, init="pretrained")
    parent = child.parent
    assert parent is not None
    dear = costs_of([child, parent, SCS], [1.0, 9.0, 2.0])
    part = SubStudy(load_study("table3"), [child, SCS])
    assert in_order(("cost",), [child, SCS, parent], [part], run_context(tmp_path), dear) == [parent, child, SCS]


def test_what_is_left_is_told_at_the_pace_of_what_was_done(tmp_path: Path) -> None:
    where, other = run_context(tmp_path), replace(SCS, seed=1)
    campaign = Campaign.begin([SCS, other], where, costs_of([SCS, other], [10.0, 10.0]), 600.0)
    short = campaign.describe(campaign.started + 600)
    assert "too short for a step; left: 2 cells, 6 epochs, about 60 s by the timed steps; the same command" in short
    inline([SCS], where)
    told = campaign.describe(campaign.started + 600)
    assert "1 cells were finished; left: 1 cells, 3 epochs, about 10 min at this pace" in told
    assert campaign.describe(campaign.started, failed=[other.run_name]) == ""


CELL = ["study=quick", "layer=conv", "activation=relu", "pooling=max", "seed=0", "train.epochs=5", "engine.device=cpu"]
ENOUGH = 36_000
"""Seconds for a command on any machine."""


class Command:
    """`make replicate` on its way."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / "log"
        where = [f"runs={folder}/runs", f"results={folder}/results"]
        line = [*CELL, *where, *arguments]
        with self.log.open("w") as log:
            self.process = commands.Command("replicate.py", *line, stdout=log, stderr=log)

    def said(self) -> str:
        return self.log.read_text()

    def spoke(self) -> float:
        """A moment after which it has begun for sure: it has said something."""
        until(lambda: self.said() or self.over())
        return time.monotonic()

    def over(self) -> bool:
        return self.process.poll() is not None

    def end(self) -> int:
        until(self.over)
        return int(self.process.returncode)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command's run says without any budget."""
    folder = tmp_path_factory.mktemp("calm")
    assert Command(folder).end() == 0
    return content(the_run(folder))


def the_run(folder: Path) -> Path:
    (run,) = (folder / "runs").glob("rohrer25k-*")
    return run


def recorded(folder: Path) -> int:
    """How many epochs of the run are on record."""
    return sum(len(files.read_lines(path)) for path in folder.glob(f"runs/rohrer25k-*/{run_folder.HISTORY}"))


def held(folder: Path, shut: Shut, *arguments: str, seconds: int = ENOUGH) -> tuple[Command, Gate, float]:
    """A command whose run stands where it has computed an epoch and not recorded it, not its first; its budget's end.

    Where the budget was used up on the way, it is given twice as much.
    """
    while True:
        gate = shut(f"{folder}/runs/*/{run_folder.HISTORY}", lines=max(1, recorded(folder)))
        command = Command(folder, f"launch.budget={seconds}s", *arguments)
        ends = command.spoke() + seconds
        until(lambda gate=gate, command=command: gate.held() or command.over())
        if not command.over():
            return command, gate, ends
        assert command.end() == UNFINISHED, command.said()
        gate.open()
        seconds *= 2


@pytest.mark.slow
@pytest.mark.parametrize("launch", [["launch=inline"], ["launch=pool", "launch.workers=1"]], ids=str)
def test_a_campaign_that_is_killed_interrupted_and_out_of_time_goes_on_as_ever(
    tmp_path: Path, shut: Shut, calm: dict[str, Any], launch: list[str]
) -> None:
    """The same command each time. Out of time it publishes and says what is left."""
    command, gate, _ = held(tmp_path, shut, *launch)
    (computing,) = gate.held()
    command.process.kill()
    assert command.end() == -signal.SIGKILL
    gate.open()
    until(lambda: state_of(computing) in ("", "Z"))  # a worker of the pool, which stops for want of its parent

    command, gate, _ = held(tmp_path, shut, *launch)
    command.process.send_signal(signal.SIGINT)
    until(lambda: "SIGINT: writing a checkpoint" in command.said())
    gate.open()
    assert command.end() == 130
    assert not (tmp_path / "results").exists(), "whoever kills or interrupts wants no tables"

    command, gate, ends = held(tmp_path, shut, *launch, seconds=20)
    time.sleep(max(0.0, ends - time.monotonic()))
    if launch[0] == "launch=pool":
        until(lambda: "writing a checkpoint" in command.said())
    gate.open()
    assert command.end() == UNFINISHED, command.said()
    said = command.said()
    done = recorded(tmp_path)
    assert f"under way: {the_run(tmp_path).name}: {done} of 5 epochs" in said
    assert f"is used up; 0 cells were finished; left: 1 cells, {5 - done} epochs, about " in said
    assert list((tmp_path / "results").glob("*/tables/table3.csv"))

    command = Command(tmp_path, f"launch.budget={ENOUGH}s", *launch)
    assert command.end() == 0, command.said()
    assert content(the_run(tmp_path)) == calm


@pytest.mark.slow
def test_a_budget_that_is_over_before_the_first_step_begins_nothing(tmp_path: Path, shut: Shut) -> None:
    gate = shut("import scs_study.launch.campaign")
    command = Command(tmp_path, "launch.budget=1s")
    gate.reached()
    time.sleep(1.1)
    gate.open()
    assert command.end() == UNFINISHED
    assert "it was too short for a step; left: 1 cells, 5 epochs, about " in command.said()
    assert not list(tmp_path.glob("runs/rohrer*"))
    assert not (tmp_path / "results").exists()
