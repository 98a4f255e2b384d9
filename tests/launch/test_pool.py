"""Several processes on one machine: the same results as one, and the death of a worker costs only its cell."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from scs_study.config.schema import CellConfig
from scs_study.launch.inline import inline
from scs_study.launch.pool import PoolSize, pool, pool_size
from scs_study.runs import lock as lease
from scs_study.runs.context import Workplace
from scs_study.runs.state import run_state
from scs_study.training import run_dir as run_folder
from scs_study.training.run import Settings
from scs_study.training.stopping import Interrupted
from tests.support import work
from tests.support.work import content, until

TWO = PoolSize(2, 1, (torch.device("cpu"),))


def cell(seed: int, epochs: int = 1) -> CellConfig:
    return work.cell(seed=seed, epochs=epochs, batch=256)


def place(runs: Path) -> Workplace:
    return Workplace(runs, Settings(torch.device("cpu")), None, runs / "data")


def worker_of(runs: Path, which: CellConfig) -> int | None:
    """The process that works on the cell now, None if there is none."""
    owner = lease.owner_of(runs / which.run_name)
    return owner.get("pid") if owner else None  # nobody yet, while it is being written


def test_a_killed_worker_is_replaced_and_nobody_can_tell_from_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [cell(seed) for seed in (0, 1, 2)]
    killed: list[int] = []

    def killer() -> None:
        for victim in cells[:2]:
            pid = until(lambda victim=victim: worker_of(tmp_path / "pool", victim))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    thread = threading.Thread(target=killer)
    thread.start()
    outcomes = pool(cells, place(tmp_path / "pool"), TWO)
    thread.join()
    assert len(killed) == 2
    assert [outcomes[each.run_name].state for each in cells] == ["done"] * 3
    assert capsys.readouterr().out.count("was killed by SIGKILL; another one continues") == 2
    inline(cells, place(tmp_path / "inline"))
    for each in cells:
        assert content(tmp_path / "pool" / each.run_name) == content(tmp_path / "inline" / each.run_name)


def test_a_cell_that_kills_every_worker_has_failed_and_the_others_are_done(tmp_path: Path) -> None:
    deadly, harmless = cell(0, epochs=100), cell(1)
    over = threading.Event()

    def killer() -> None:
        """Something like a lack of memory: whoever touches the cell dies before it completes an epoch."""
        dead: set[int] = set()
        while not over.is_set():
            pid = worker_of(tmp_path, deadly)
            if pid is not None and pid not in dead and pid != os.getpid():
                os.kill(pid, signal.SIGKILL)
                dead.add(pid)
            time.sleep(0.002)

    thread = threading.Thread(target=killer)
    (tmp_path / deadly.run_name).mkdir()
    thread.start()
    try:
        outcomes = pool([deadly, harmless], place(tmp_path), TWO)
    finally:
        over.set()
        thread.join()
    assert outcomes[harmless.run_name].state == "done"
    assert outcomes[deadly.run_name].state == "failed"
    assert "was killed by SIGKILL" in outcomes[deadly.run_name].message


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_pool_leaves_checkpoints_and_no_processes(tmp_path: Path, number: signal.Signals) -> None:
    cells = [cell(seed, epochs=50) for seed in (0, 1)]
    workers: list[int] = []

    def stopper() -> None:
        until(lambda: all((tmp_path / each.run_name / run_folder.HISTORY).exists() for each in cells), every=0.1)
        workers.extend(pid for pid in (worker_of(tmp_path, each) for each in cells) if pid)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=stopper)
    thread.start()
    with pytest.raises(Interrupted):
        pool(cells, place(tmp_path), TWO)
    thread.join()
    assert {run_state(tmp_path, each).state for each in cells} == {"interrupted"}
    assert all(run_state(tmp_path, each).message.startswith("stopped in epoch") for each in cells)
    assert len(workers) == 2
    assert not any(lease._started(pid) for pid in workers)


def orphaned(runs: Path) -> None:
    pool([cell(seed, epochs=50) for seed in (0, 1)], place(runs), TWO)


def test_workers_whose_launcher_is_killed_stop_with_a_checkpoint(tmp_path: Path) -> None:
    cells = [cell(seed, epochs=50) for seed in (0, 1)]
    launcher = work.start(orphaned, tmp_path)
    until(lambda: all((tmp_path / each.run_name / run_folder.HISTORY).exists() for each in cells), 120, 0.1)
    workers = [worker_of(tmp_path, each) for each in cells]
    launcher.kill()
    launcher.join()
    assert all(workers)
    until(lambda: not any(lease._started(pid) for pid in workers if pid), 30)
    assert {run_state(tmp_path, each).state for each in cells} == {"interrupted"}


@pytest.mark.parametrize(
    ("device", "arguments", "expected"),
    [
        ("cpu", {"workers": 3, "per_gpu": 4, "threads": None}, (3, 1)),
        ("cpu", {"workers": None, "per_gpu": 4, "threads": 10_000}, (1, 10_000)),
        ("cuda:0", {"workers": None, "per_gpu": 4, "threads": None}, (4, 1)),
    ],
)
def test_the_size_of_a_pool(device: str, arguments: dict[str, Any], expected: tuple[int, int]) -> None:
    size = pool_size(torch.device(device), **arguments)
    assert (size.workers, size.threads) == expected
    assert size.devices == (torch.device(device),)


@pytest.mark.parametrize("key", ["workers", "per_gpu", "threads"])
def test_a_pool_of_nothing_is_refused(key: str) -> None:
    arguments: dict[str, Any] = {"workers": 1, "per_gpu": 1, "threads": 1, key: 0}
    with pytest.raises(ValueError, match=f"{key}=0: must be at least 1"):
        pool_size(torch.device("cpu"), **arguments)
