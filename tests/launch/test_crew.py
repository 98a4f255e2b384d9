"""Workers with several runs in each: the results of single ones, and nobody is blamed for the death of a neighbour."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from scs_study.config.schema import CellConfig
from scs_study.experiments.work import GridSource, Job, jobs_of
from scs_study.launch import worker
from scs_study.launch.crew import DEATHS, Crew, Member, _take_in, assign
from scs_study.launch.inline import inline
from scs_study.launch.pool import pool, run_pool
from scs_study.launch.pool_size import PoolSize
from scs_study.launch.worker import Order, ParentSource
from scs_study.runs.context import RunContext
from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.state import Outcome, run_state
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from scs_study.training.run import Settings
from tests.gates import Gate
from tests.support import work
from tests.support.work import content

Shut = Callable[..., Gate]
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _imported_once() -> None:
    """The pools' workers come from the fork server of the tests, which has everything imported."""
    work.start(int).join()


def together(count: int) -> PoolSize:
    return PoolSize(1, 1, (CPU,), side_by_side=count)


def cell(seed: int, epochs: int = 1) -> CellConfig:
    return work.cell(seed=seed, epochs=epochs, batch=256)


def run_context(runs: Path) -> RunContext:
    return RunContext(runs, Settings(CPU), None, runs / "data")


def in_the_background(action: Callable[[], None]) -> threading.Thread:
    """A thread that does `action` beside the pool. What it raises fails the test (pytest's own warning)."""
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def starts(runs: Path, which: CellConfig) -> list[dict[str, Any]]:
    return files.read_lines(runs / which.run_name / PROVENANCE)


class Heard(GridSource):
    """A study that remembers what was said of it. no_more: names of runs that end after their first epoch."""

    no_more: tuple[str, ...] = ()
    ends: dict[str, threading.Event]
    deaths: int

    @classmethod
    def about(cls, cells: list[CellConfig], runs: Path) -> Heard:
        heard = cls.of(cells, runs)
        assert isinstance(heard, Heard)
        heard.judges = bool(heard.no_more)
        heard.ends = {each.run_name: threading.Event() for each in cells}
        heard.deaths = 0
        return heard

    def report(self, job: Job, line: Mapping[str, Any]) -> bool:
        return super().report(job, line) and job.cell.run_name not in self.no_more

    def finish(self, job: Job, outcome: Outcome) -> None:
        super().finish(job, outcome)
        self.ends[job.cell.run_name].set()

    def requeue(self, job: Job, killed: bool = False) -> None:
        super().requeue(job, killed)
        self.deaths += killed


def test_runs_of_a_killed_process_go_on_and_nobody_can_tell_from_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shut: Shut
) -> None:
    cells = [cell(seed, epochs=2) for seed in (0, 1, 2)]
    gates = [shut(tmp_path / "pool" / each.run_name / run_folder.HISTORY, lines=1) for each in cells]
    killed: list[int] = []

    def killer() -> None:
        assert len({gate.reached() for gate in gates}) == 1  # all are in the middle, in one process
        killed.append(gates[0].reached())
        os.kill(killed[0], signal.SIGKILL)
        for gate in gates:
            gate.open()

    thread = in_the_background(killer)
    source = Heard.about(cells, tmp_path / "pool")
    run_pool(source, run_context(tmp_path / "pool"), together(3))
    thread.join()
    assert {outcome.state for outcome in source.outcomes.values()} == {"done"}
    assert source.deaths == 0
    assert f"process {killed[0]} was killed by SIGKILL with 3 runs in it" in capsys.readouterr().out
    inline(cells, run_context(tmp_path / "inline"))
    for each in cells:
        assert content(tmp_path / "pool" / each.run_name) == content(tmp_path / "inline" / each.run_name)
        assert [start["at_once"] for start in starts(tmp_path / "pool", each)] == [3, 3]


def test_a_run_that_kills_its_process_has_failed_and_its_neighbours_are_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shut: Shut
) -> None:
    """It dies in its second epoch, and its neighbours have not ended by then: their third has not begun."""
    deadly, *others = cells = [cell(0, epochs=3), cell(1, epochs=3), cell(2, epochs=3)]
    history = {each.run_name: tmp_path / each.run_name / run_folder.HISTORY for each in cells}
    at_first = [shut(history[each.run_name], lines=1) for each in cells]

    def killer() -> None:
        pid = {gate.reached() for gate in at_first}.pop()
        shut(history[deadly.run_name], lines=1, kill=True)  # whoever computes it from now on
        os.kill(pid, signal.SIGKILL)
        for gate in at_first:
            gate.open()

    thread = in_the_background(killer)
    outcomes = pool(cells, run_context(tmp_path), together(3))
    thread.join()
    assert outcomes[deadly.run_name].state == "failed"
    assert f"was killed by SIGKILL, the {DEATHS}th in epoch 2" in outcomes[deadly.run_name].message
    assert run_state(tmp_path, deadly).state == "failed"
    assert len(starts(tmp_path, deadly)) == 1 + DEATHS  # the first of them beside others, which does not count
    assert {outcomes[each.run_name].state for each in others} == {"done"}
    # A neighbour has died once at most, with it; alone it was told to make place, and has gone on beside the other.
    assert all(len(starts(tmp_path, each)) <= 3 for each in others)
    blamed = [line for line in capsys.readouterr().out.splitlines() if "another one continues" in line]
    assert len(blamed) == DEATHS - 1
    assert all(line.startswith(f"[1/3] {deadly.slug}: ") for line in blamed)
    inline(others, run_context(tmp_path / "inline"))
    for each in others:
        assert content(tmp_path / each.run_name) == content(tmp_path / "inline" / each.run_name)


def test_a_failed_run_ends_its_process_and_its_neighbours_go_on_in_another(tmp_path: Path, shut: Shut) -> None:
    cells = [cell(0, epochs=3), cell(1), cell(2)]
    long, failing = cells[0], cells[2]
    (tmp_path / failing.run_name).write_text("no folder")
    source = Heard.about(cells, tmp_path)
    gate = shut(tmp_path / long.run_name / run_folder.HISTORY, lines=1)
    pids: list[int] = []

    def opener() -> None:
        pids.append(gate.reached())
        assert source.ends[failing.run_name].wait(800)  # after the short one, in the same process
        gate.open()

    thread = in_the_background(opener)
    run_pool(source, run_context(tmp_path), together(2))
    thread.join()
    assert [source.outcomes[each.run_name].state for each in cells] == ["done", "done", "failed"]
    assert len(starts(tmp_path, long)) == 2
    assert source.deaths == 0
    inline([long], run_context(tmp_path / "inline"))
    assert content(tmp_path / long.run_name) == content(tmp_path / "inline" / long.run_name)


def test_a_run_that_is_given_up_leaves_its_neighbour_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = given_up, other = [cell(0, epochs=work.ENDLESS), cell(1, epochs=2)]
    monkeypatch.setattr(Heard, "no_more", (given_up.run_name,))
    source = Heard.about(cells, tmp_path)
    run_pool(source, run_context(tmp_path), together(2))
    assert [source.outcomes[each.run_name].state for each in cells] == ["interrupted", "done"]
    assert run_state(tmp_path, given_up).epoch == 1
    assert len(starts(tmp_path, other)) == 1


# Who gets which job


class Process:
    """A process that lives."""

    def is_alive(self) -> bool:
        return True


class Ear:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)


def crew_of(cells: list[CellConfig], runs: Path, workers: int, side_by_side: int) -> Crew:
    def member() -> Member:
        return Member(Process(), Ear())  # type: ignore[arg-type]

    size = PoolSize(workers, 1, (CPU,), side_by_side)
    return Crew(GridSource.of(cells, runs), run_context(runs), size, [member() for _ in range(workers)])


def there(crew: Crew) -> list[set[int]]:
    return [set(member.orders) for member in crew.present()]


def test_runs_are_spread_over_the_processes(tmp_path: Path) -> None:
    crew = crew_of([cell(seed) for seed in range(5)], tmp_path, 2, 2)
    assign(crew, lambda: False)
    assert there(crew) == [{1, 3}, {2, 4}]
    assert not crew.waiting


def test_only_runs_of_the_same_numerics_meet_in_a_process(tmp_path: Path) -> None:
    """Whether a GPU may use TF32 is a setting of the process."""
    one, two, three = [cell(seed) for seed in range(3)]
    other = replace(two, train=replace(two.train, numerics="bf16"))
    crew = crew_of([one, other, three], tmp_path, 1, 3)
    assign(crew, lambda: False)
    assert there(crew) == [{1}]
    assert [job.number for job in crew.waiting] == [2]  # and no further one is taken, or it might wait for ever
    crew.present()[0].orders.clear()
    assign(crew, lambda: False)
    assert there(crew) == [{2}]
    assert [job.number for job in crew.waiting] == [3]


def test_a_run_of_another_process_is_looked_at_by_the_same_worker_again(tmp_path: Path) -> None:
    """Of its owner's silence each worker knows what it has seen itself."""
    cells = [cell(seed) for seed in range(3)]
    crew = crew_of(cells, tmp_path, 3, 1)
    crew.looked = {cells[0].run_name: 2, cells[1].run_name: 0}
    assign(crew, lambda: False)
    assert there(crew) == [{2}, {3}, {1}]
    middle = crew.present()[1]
    _take_in(crew, middle, "outcome", 3, Outcome("busy", "another process is at it"))
    assert crew.looked[cells[2].run_name] == 1
    assert not middle.orders


def test_a_suspect_has_a_process_to_itself(tmp_path: Path) -> None:
    cells = [cell(seed) for seed in range(4)]
    crew = crew_of(cells, tmp_path, 2, 2)
    assign(crew, lambda: False)
    first = crew.present()[0]
    for order in first.orders.values():
        crew.deaths[order.job.cell.run_name] = (0, 1)
        crew.suspects.append(order.job)
    first.orders.clear()
    assign(crew, lambda: False)
    assert there(crew) == [{1}, {2, 4}]
    assert [job.number for job in crew.suspects] == [3]


# The worker's side, without a process of its own


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Exit statuses with which the process would have ended."""
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    monkeypatch.setattr(worker, "usable", lambda device: False)
    return statuses


@pytest.mark.parametrize("running", [1, 2])
def test_an_error_that_breaks_cuda_for_several_runs_is_nobodys_failure(
    running: int, tmp_path: Path, dead: list[int]
) -> None:
    parents, its = multiprocessing.Pipe()
    context = run_context(tmp_path)
    source = ParentSource(its, context, 2)
    jobs = jobs_of([cell(seed) for seed in range(running)])
    for job in jobs:
        parents.send(Order(job, judged=False))
        assert source.acquire(lambda: False) == job
        folder = tmp_path / job.cell.run_name
        folder.mkdir()
        run_folder.write_status(folder, "failed", 0, 1, "RuntimeError: an illegal memory access")
    source.finish(jobs[0], Outcome("failed", "RuntimeError: an illegal memory access"))
    if running == 1:
        assert dead == []
        assert parents.recv() == ("outcome", 1, Outcome("failed", "RuntimeError: an illegal memory access"))
        assert source.over
    else:
        assert dead == [worker.BROKEN]
        assert run_state(tmp_path, jobs[0].cell).state == "interrupted"


def test_whoever_waits_for_a_parent_that_is_gone_goes_on(tmp_path: Path) -> None:
    parents, its = multiprocessing.Pipe()
    source = ParentSource(its, run_context(tmp_path), 2)
    (job,) = jobs_of([cell(0)])
    parents.send(Order(job, judged=True))
    assert source.acquire(lambda: False) == job
    parents.close()
    assert source.report(job, {"epoch": 1})
    assert source.acquire(lambda: False) is None
    assert source.acquire(lambda: False) is None
    assert source.over
