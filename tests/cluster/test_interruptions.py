"""Everything that happens to a task on a real SLURM, one thing after the other, and the same bytes in the end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scs_study.launch.code_snapshot import cancel, live_jobs
from scs_study.launch.inline import inline
from scs_study.launch.slurm import slurm as launch_slurm
from scs_study.launch.slurm import submit
from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.state import run_state
from scs_study.system import files
from tests.cluster.jobs import (
    ENGINE,
    EVERY,
    cell,
    control,
    in_the_next_epoch,
    logs,
    processes_of,
    run_context,
    settings,
    start_now,
    state_of,
    stopping_at_gates,
)
from tests.gates import Gate, until
from tests.slurm import cluster
from tests.support.work import content

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_a_study_survives_everything_that_happens_to_jobs(
    slurm: Path, tmp_path: Path, shut: Callable[..., Gate]
) -> None:
    """Both runs stand in the middle of an epoch whenever something happens to them."""
    runs, calm = tmp_path / "runs", tmp_path / "calm"
    cells = [cell(seed, epochs=9) for seed in (0, 1)]
    where = run_context(runs)

    def told() -> int:
        """How often a process has said that it was asked to stop."""
        return logs(runs).count(": writing a checkpoint")

    def stop_in_order(gates: list[Gate], before: int) -> None:
        """Wait until the task and its two workers have heard it and, let go, have stopped."""
        until(lambda: told() >= before + 3, every=EVERY)
        for gate in gates:
            gate.open()
        until(lambda: all(run_state(runs, each).state == "interrupted" for each in cells), every=EVERY)

    gates = in_the_next_epoch(runs, cells)
    submission, (number,) = submit("t", cells, where, stopping_at_gates(tmp_path, partition="spare"), ENGINE)
    assert submission is not None

    # scontrol requeue: SIGTERM, then a new start.
    assert all(gate.reached() for gate in gates)
    assert submit("t", cells, where, settings(), ENGINE) == (None, [number]), "its cells are on their way"
    before = told()
    control("requeue", number)
    stop_in_order(gates, before)
    gates = in_the_next_epoch(runs, cells)
    start_now(number)

    # Preemption: an urgent job needs the node; the task gets SIGUSR2 and comes back afterwards.
    assert all(gate.reached() for gate in gates)
    before = told()
    urgent = ["srun", "-p", "urgent", "-c", "4", "--mem=100", "-J", "urgent", "true"]
    with subprocess.Popen(urgent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        stop_in_order(gates, before)
    assert job.returncode == 0
    assert logs(runs).count("queued again") == 1
    gates = in_the_next_epoch(runs, cells)
    start_now(number)

    # A worker is killed: the task replaces it.
    killed, other = (gate.reached() for gate in gates)
    os.kill(killed, signal.SIGKILL)
    until(lambda: f"process {killed}, was killed by SIGKILL; another one continues" in logs(runs), every=EVERY)

    # The node's daemon and everything on it die, and the node comes back.
    workers = {gates[0].reached(but=[killed]), other}
    cluster.end(slurm / "node1", "slurmd", signal.SIGKILL)
    doomed = processes_of(slurm, number)
    assert workers < set(doomed)
    assert len(doomed) > 4, "the task, its fork server, two workers, SLURM's own"
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(gate.held() for gate in gates))
    # SLURM finds out by itself after some minutes; of a node that is back before, it does not miss a young job at all.
    control("update", "nodename=node1", "state=down", "reason=died")
    until(lambda: state_of(number) != "RUNNING", every=EVERY)
    cluster.start_node(slurm)
    start_now(number)

    # The study's own cancel: its job, and nobody else's.
    assert all(gate.reached() for gate in gates)
    assert cancel(runs, "another") == []
    assert state_of(number) == "RUNNING"
    before = told()
    assert cancel(runs, "t") == [number]
    stop_in_order(gates, before)
    until(lambda: not live_jobs(runs), every=EVERY)

    # The launcher, repeated, sends what is left and waits for it.
    outcomes = launch_slurm("t", cells, where, settings(), ENGINE)
    assert outcomes is not None
    assert {outcome.state for outcome in outcomes.values()} == {"done"}, logs(runs)
    inline(cells, run_context(calm))
    # Begun, after the requeue, the preemption, the death of a worker, that of the node, the cancel.
    for each, count in zip(cells, (6, 5), strict=True):
        folder = runs / each.run_name
        assert content(folder) == content(calm / folder.name)
        starts = files.read_lines(folder / PROVENANCE)
        assert len(starts) == count
        assert {start["commit"] for start in starts} == {starts[0]["commit"]}
        assert all(start["job"]["SLURM_JOB_ID"] for start in starts)
