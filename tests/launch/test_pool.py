"""Several processes on one machine: the same results as one, and the death of a worker costs only its cell."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scs_study.config.schema import CellConfig
from scs_study.launch.crew import DEATHS
from scs_study.launch.inline import inline
from scs_study.launch.pool import pool
from scs_study.launch.pool_size import PoolSize, pool_of_runs, pool_size
from scs_study.runs import lock as lease
from scs_study.runs.context import RunContext
from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.state import run_state
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from scs_study.training import stopping
from scs_study.training.run import Settings
from scs_study.training.stopping import Interrupted
from tests.gates import PATIENCE, Gate, until
from tests.support import work
from tests.support.work import content

Shut = Callable[..., Gate]
TWO = PoolSize(2, 1, (torch.device("cpu"),))
TOGETHER = PoolSize(1, 1, (torch.device("cpu"),), side_by_side=2)
SIZES = pytest.mark.parametrize("size", [TWO, TOGETHER], ids=["processes", "threads"])


@pytest.fixture(scope="module", autouse=True)
def _imported_once() -> None:
    """The pools' workers come from the fork server of the tests, which has everything imported."""
    work.start(int).join()


def cell(seed: int, epochs: int = 1) -> CellConfig:
    return work.cell(seed=seed, epochs=epochs, batch=256)


def run_context(runs: Path) -> RunContext:
    return RunContext(runs, Settings(torch.device("cpu")), None, runs / "data")


def in_the_background(action: Callable[[], None]) -> threading.Thread:
    """A thread that does `action` beside the pool. What it raises fails the test (pytest's own warning)."""
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def end_of_epoch(shut: Shut, runs: Path, which: CellConfig, epoch: int) -> Gate:
    """A gate at which the run's process stands when it has computed that epoch and not recorded it."""
    return shut(runs / which.run_name / run_folder.HISTORY, lines=epoch - 1)


def test_a_killed_worker_is_replaced_and_nobody_can_tell_from_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shut: Shut
) -> None:
    cells = [cell(seed) for seed in (0, 1, 2)]
    gates = [end_of_epoch(shut, tmp_path / "pool", victim, 1) for victim in cells[:2]]
    killed: list[int] = []

    def killer() -> None:
        for gate in gates:
            killed.append(gate.reached())
            os.kill(killed[-1], signal.SIGKILL)
            gate.open()

    thread = in_the_background(killer)
    outcomes = pool(cells, run_context(tmp_path / "pool"), TWO)
    thread.join()
    assert len(set(killed)) == 2
    assert [outcomes[each.run_name].state for each in cells] == ["done"] * 3
    said = capsys.readouterr().out
    assert all(f"process {pid}, was killed by SIGKILL; another one continues" in said for pid in killed)
    inline(cells, run_context(tmp_path / "inline"))
    for each in cells:
        assert content(tmp_path / "pool" / each.run_name) == content(tmp_path / "inline" / each.run_name)
        shared = {name: files.read_lines(tmp_path / name / each.run_name / PROVENANCE) for name in ("pool", "inline")}
        assert {name: {start["at_once"] for start in starts} for name, starts in shared.items()} == {
            "pool": {2},
            "inline": {1},
        }


def test_a_cell_that_kills_every_worker_has_failed_and_the_others_are_done(tmp_path: Path, shut: Shut) -> None:
    """Something like a lack of memory: whoever touches the cell dies before it completes an epoch."""
    deadly, harmless = cell(0, epochs=100), cell(1)
    shut(tmp_path / deadly.run_name / run_folder.HISTORY, kill=True)
    outcomes = pool([deadly, harmless], run_context(tmp_path), TWO)
    assert outcomes[harmless.run_name].state == "done"
    assert outcomes[deadly.run_name].state == "failed"
    assert f"was killed by SIGKILL, the {DEATHS}th in epoch 1" in outcomes[deadly.run_name].message


@SIZES
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_pool_leaves_checkpoints_and_no_processes(
    tmp_path: Path, number: signal.Signals, size: PoolSize, shut: Shut
) -> None:
    cells = [cell(seed, epochs=work.ENDLESS) for seed in (0, 1)]
    gates = [end_of_epoch(shut, tmp_path, each, 2) for each in cells]
    workers: list[int] = []

    def stopper() -> None:
        workers.extend(gate.reached() for gate in gates)
        os.kill(os.getpid(), number)
        for gate in gates:
            gate.open()

    thread = in_the_background(stopper)
    with pytest.raises(Interrupted):
        pool(cells, run_context(tmp_path), size)
    thread.join()
    assert {run_state(tmp_path, each).state for each in cells} == {"interrupted"}
    assert all(run_state(tmp_path, each).message.startswith("stopped in epoch") for each in cells)
    assert len(set(workers)) == size.workers
    assert not any(lease._started(pid) for pid in workers)


@SIZES
@pytest.mark.parametrize("seen", [False, True], ids=["both-at-once", "the-first-was-seen"])
def test_a_pool_asked_twice_ends_at_once_whatever_its_workers_do(
    seen: bool, size: PoolSize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shut: Shut
) -> None:
    """The gates stay shut: no worker writes a checkpoint. The second signal may come before the pool saw the first."""
    cells = [cell(seed, epochs=work.ENDLESS) for seed in (0, 1)]
    gates = [end_of_epoch(shut, tmp_path, each, 2) for each in cells]
    workers: list[int] = []
    heard = threading.Event()
    monkeypatch.setattr(stopping, "interject", lambda text: heard.set())

    def stopper() -> None:
        workers.extend(gate.reached() for gate in gates)
        os.kill(os.getpid(), signal.SIGINT)
        if seen:
            assert heard.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = in_the_background(stopper)
    with pytest.raises(Interrupted, match="at once"):
        pool(cells, run_context(tmp_path), size)
    thread.join()
    assert len(set(workers)) == size.workers
    assert not any(lease._started(pid) for pid in workers)


def orphaned(runs: Path, size: PoolSize) -> None:
    pool([cell(seed, epochs=work.ENDLESS) for seed in (0, 1)], run_context(runs), size)


@SIZES
def test_workers_whose_launcher_is_killed_stop_with_a_checkpoint(tmp_path: Path, size: PoolSize, shut: Shut) -> None:
    cells = [cell(seed, epochs=work.ENDLESS) for seed in (0, 1)]
    gates = [end_of_epoch(shut, tmp_path, each, 2) for each in cells]
    launcher = work.start(orphaned, tmp_path, size)
    workers = [gate.reached() for gate in gates]
    launcher.kill()
    launcher.join()
    assert launcher.exitcode == -signal.SIGKILL
    for gate in gates:
        gate.open()
    until(lambda: not any(lease._started(pid) for pid in workers))
    assert {run_state(tmp_path, each).state for each in cells} == {"interrupted"}
    assert all(run_state(tmp_path, each).message == "stopped in epoch 3" for each in cells)


@pytest.mark.parametrize(
    ("device", "engine", "arguments", "expected"),
    [
        ("cpu", "graphed", {"workers": 3}, (3, 1, 1)),
        ("cpu", "eager", {"workers": 2, "side_by_side": 3}, (2, 1, 3)),
        ("cpu", "eager", {"threads": 10_000}, (1, 10_000, 1)),
        ("cuda:0", "graphed", {}, (1, 1, 4)),
        ("cuda:0", "graphed", {"workers": 2, "side_by_side": 1}, (2, 1, 1)),
        ("cuda:0", "eager", {}, (4, 1, 1)),
        ("cuda:0", "eager", {"side_by_side": 8}, (1, 1, 8)),
    ],
)
def test_the_size_of_a_pool(
    device: str, engine: str, arguments: dict[str, int], expected: tuple[int, int, int]
) -> None:
    given: dict[str, Any] = {"workers": None, "side_by_side": None, "threads": None, **arguments}
    size = pool_size(torch.device(device), engine, **given)
    assert (size.workers, size.threads, size.side_by_side) == expected
    assert size.devices == (torch.device(device),)


@pytest.mark.parametrize(
    ("engine", "runs", "expected"), [("graphed", 8, (3, 2, 2)), ("graphed", 2, (2, 1, 1)), ("eager", 4, (4, 1, 2))]
)
def test_a_task_with_three_gpus(
    engine: str, runs: int, expected: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    size = pool_of_runs(torch.device("cuda"), engine, runs, 1)
    assert (size.workers, size.side_by_side, size.on_each) == expected
    assert size.devices == tuple(torch.device("cuda", index) for index in range(3))


@pytest.mark.parametrize("key", ["workers", "side_by_side", "threads"])
def test_a_pool_of_nothing_is_refused(key: str) -> None:
    arguments: dict[str, Any] = {"workers": 1, "side_by_side": 1, "threads": 1, key: 0}
    with pytest.raises(ValueError, match=f"{key}=0: must be at least 1"):
        pool_size(torch.device("cpu"), "eager", **arguments)


@pytest.mark.parametrize("size", [pool_size, pool_of_runs])
def test_no_more_runs_in_a_process_than_there_are_streams(size: Callable[..., PoolSize]) -> None:
    more = {"workers": None, "side_by_side": 32} if size is pool_size else {"runs": 32}
    with pytest.raises(ValueError, match="=32: at most 31 cells have streams of their own on a GPU"):
        size(torch.device("cuda:0"), "graphed", threads=1, **more)
