"""Cells side by side in one process: each comes out as if it had been alone, whatever happens to its neighbours."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from scs_study.config.schema import CellConfig
from scs_study.experiments.compose import compose_cell
from scs_study.experiments.work import GridSource
from scs_study.launch import run_job
from scs_study.launch import threads as module
from scs_study.launch.inline import inline
from scs_study.launch.threads import side_by_side
from scs_study.models import build_variant
from scs_study.models.initialization import draw
from scs_study.runs.state import Outcome, run_state
from scs_study.system.tensors import checksum
from scs_study.training import stopping
from scs_study.training.graphed import GraphedEngine
from scs_study.training.stopping import Interrupted
from tests.gates import PATIENCE
from tests.support.work import cell, content, run_context

CELLS = [cell(layer, seed, epochs=2, batch=32) for seed, layer in enumerate(("scs", "conv", "sdp"))]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    runs = tmp_path_factory.mktemp("alone")
    inline(CELLS, run_context(runs))
    return {each.run_name: content(runs / each.run_name) for each in CELLS}


def contents(runs: Path) -> dict[str, Any]:
    return {each.run_name: content(runs / each.run_name) for each in CELLS}


@pytest.mark.parametrize("engine", ["eager", "graphed"])
def test_cells_side_by_side_equal_single_cells_bit_for_bit(
    tmp_path: Path, alone: dict[str, Any], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(3)
    compute = run_job.run_cell

    def all_at_once(which: CellConfig, *arguments: Any) -> Any:
        together.wait(PATIENCE)
        return compute(which, *arguments)

    monkeypatch.setattr(run_job, "run_cell", all_at_once)
    outcomes = side_by_side(CELLS, run_context(tmp_path, engine=engine), 3)
    assert {outcome.state for outcome in outcomes.values()} == {"done"}
    assert contents(tmp_path) == alone


def test_a_diverging_and_a_failing_cell_leave_their_neighbours_alone(
    tmp_path: Path, alone: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = compose_cell(
        {"arch": "rohrer68k", "layer": "conv", "activation": "relu", "pooling": "max"},
        {"train.epochs": 2, "train.batch_size": 32, "train.max_lr": 1e30, "train.schedule": "constant"},
        5,
    )
    failing = cell("conv", seed=6, batch=32)
    evaluate = GraphedEngine.evaluate

    def fails(engine: GraphedEngine, stop: Any) -> Any:
        if engine.batches.seed == 6:
            raise RuntimeError("out of memory")
        return evaluate(engine, stop)

    monkeypatch.setattr(GraphedEngine, "evaluate", fails)
    outcomes = side_by_side([wild, failing, *CELLS], run_context(tmp_path, engine="graphed"), 3)
    assert outcomes[wild.run_name].state == "diverged"
    assert outcomes[failing.run_name].message == "RuntimeError: out of memory"
    assert run_state(tmp_path, failing).state == "failed"
    assert "failed: RuntimeError: out of memory" in capsys.readouterr().out
    assert contents(tmp_path) == alone


def test_a_signal_stops_all_of_them_with_a_checkpoint_from_which_they_continue(
    tmp_path: Path, alone: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    heard = threading.Event()
    report = GridSource.report
    monkeypatch.setattr(stopping, "interject", lambda text: heard.set())

    def signals(source: GridSource, *arguments: Any) -> bool:
        goes_on = report(source, *arguments)
        if not sent:
            sent.append(1)
            os.kill(os.getpid(), signal.SIGTERM)
        assert heard.wait(PATIENCE)  # nobody goes on before the main thread has heard it
        return goes_on

    monkeypatch.setattr(GridSource, "report", signals)
    with pytest.raises(Interrupted):
        side_by_side(CELLS, run_context(tmp_path), 3)
    monkeypatch.undo()
    states = {run_state(tmp_path, each).state for each in CELLS}
    assert "interrupted" in states
    assert states <= {"interrupted", "done", "missing"}
    side_by_side(CELLS, run_context(tmp_path), 2)
    assert contents(tmp_path) == alone


def test_only_cells_of_the_same_numerics_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a GPU may use TF32 is a setting of the process."""
    mixed = [
        compose_cell({"arch": "rohrer68k", "layer": "conv"}, {"train.numerics": numerics}, seed)
        for seed in (0, 1)
        for numerics in ("float32", "bf16")
    ]
    running: list[str] = []
    met: list[set[str]] = []

    def run(which: CellConfig, *_: Any) -> Any:
        running.append(which.train.numerics)
        met.append(set(running))
        running.remove(which.train.numerics)
        return Outcome("done")

    monkeypatch.setattr(run_job, "run_cell", run)
    assert len(side_by_side(mixed, run_context(tmp_path), 4)) == 4
    assert met
    assert all(len(classes) == 1 for classes in met)


def test_after_an_error_that_breaks_cuda_no_further_cell_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def run(which: CellConfig, *_: Any) -> Any:
        begun.append(which.run_name)
        return Outcome("failed", "RuntimeError: an illegal memory access")

    monkeypatch.setattr(run_job, "run_cell", run)
    monkeypatch.setattr(module, "usable", lambda device: False)
    outcomes = side_by_side(CELLS, run_context(tmp_path), 1)
    assert begun == [CELLS[0].run_name]
    assert f"{CELLS[0].run_name} left CUDA unusable" in outcomes[CELLS[2].run_name].message
    assert {outcome.state for outcome in outcomes.values()} == {"failed"}


def test_threads_that_draw_at_the_same_time_draw_what_one_draws() -> None:
    """torch's random state is the process's: two threads in it at once would take each other's numbers."""
    expected = {seed: checksum(draw("rohrer68k", seed, "conv2d")) for seed in range(8)}
    found: dict[int, str] = {}

    def work(seed: int) -> None:
        build_variant(CELLS[0], draw("rohrer68k", seed, "conv2d"))
        found[seed] = checksum(draw("rohrer68k", seed, "conv2d"))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected
