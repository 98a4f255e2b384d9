"""Everything that happens to a task on a real SLURM, one thing after the other, and the same bytes in the end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from scs_study.launch.code_snapshot import cancel, live_jobs
from scs_study.launch.inline import inline
from scs_study.launch.slurm import slurm as launch_slurm
from scs_study.launch.slurm import submit
from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.state import run_state
from scs_study.system import files
from tests.cluster.jobs import ENGINE, EVERY, cell, control, logs, place, processes_of, settings, start_now, state_of
from tests.slurm import cluster
from tests.support.work import content, until

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_study_survives_everything_that_happens_to_jobs(slurm: Path, tmp_path: Path) -> None:
    runs, calm = tmp_path / "runs", tmp_path / "calm"
    cells = [cell(seed, epochs=20) for seed in (0, 1)]
    where = place(runs)
    first, second = (runs / each.run_name for each in cells)

    def epochs() -> int:
        return min(run_state(runs, each).epoch for each in cells)

    def wait_for_work() -> None:
        """None, once both runs are running and have got further."""
        goal = epochs() + 1
        until(lambda: epochs() >= goal and all(run_state(runs, c).state == "running" for c in cells), 300, EVERY)

    def all_stopped() -> bool:
        return all(run_state(runs, each).state != "running" for each in cells)

    started = time.monotonic()
    submission, (number,) = submit("t", cells, where, settings(partition="spare"), ENGINE)
    assert submission is not None
    assert time.monotonic() - started < 30

    # scontrol requeue: SIGTERM, then a new start.
    wait_for_work()
    assert submit("t", cells, where, settings(), ENGINE) == (None, [number]), "its cells are on their way"
    control("requeue", number)
    until(all_stopped, 60, EVERY)
    start_now(number)

    # Preemption: an urgent job needs the node; the task gets SIGUSR2 and comes back afterwards.
    wait_for_work()
    urgent = ["srun", "-p", "urgent", "-c", "4", "--mem=100", "-J", "urgent", "sleep", "1"]
    subprocess.run(urgent, check=True, timeout=120, capture_output=True)
    assert logs(runs).count("queued again") == 1
    start_now(number)

    # A worker is killed: the task replaces it.
    wait_for_work()
    owner = run_state(runs, cells[0]).owner
    os.kill(int(owner.rsplit(" ", 1)[1]), signal.SIGKILL)
    until(lambda: "was killed by SIGKILL; another one continues" in logs(runs), 60, EVERY)

    # The node's daemon and everything on it die, and the node comes back.
    wait_for_work()
    cluster.end(slurm, "slurmd", signal.SIGKILL)
    doomed = processes_of(slurm, number)
    assert len(doomed) > 4, "the task, its fork server, two workers, SLURM's own"
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cluster.start_node(slurm)

    # The study's own cancel: its job, and nobody else's.
    assert cancel(runs, "another") == []
    until(lambda: state_of(number) in ("RUNNING", "PENDING"), 60, 1)
    assert cancel(runs, "t") == [number]
    until(lambda: not live_jobs(runs) and all_stopped(), 300, EVERY)
    assert not all(run_state(runs, each).final for each in cells), "nothing was left to be continued"

    # The launcher, repeated, sends what is left and waits for it.
    outcomes = launch_slurm("t", cells, where, settings(), ENGINE)
    assert outcomes is not None
    assert {outcome.state for outcome in outcomes.values()} == {"done"}, logs(runs)
    inline(cells, place(calm))
    for folder in (first, second):
        assert content(folder) == content(calm / folder.name)
        starts = files.read_lines(folder / PROVENANCE)
        assert len(starts) >= 4
        assert {start["commit"] for start in starts} == {starts[0]["commit"]}
        assert all(start["job"]["SLURM_JOB_ID"] for start in starts)
