"""A study over two nodes that share a disk and no clock: one of them dies, or hangs, and the bytes are the same."""

from __future__ import annotations

import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scs_study.launch.inline import inline
from scs_study.launch.slurm import slurm as launch_slurm
from scs_study.launch.slurm import submit
from scs_study.runs.provenance import PROVENANCE
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from tests.cluster.conftest import running
from tests.cluster.jobs import ENGINE, cell, control, logs, run_context, settings, start_now, stopping_at_gates
from tests.gates import Gate, state_of, until
from tests.slurm.nodes import Disk, Node, clock, missing, name_of, nodes
from tests.support.work import content

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]
CLOCKS = {"node1": 86_400, "node2": -3600}
"""A day ahead, and an hour behind."""


@pytest.fixture
def two(request: pytest.FixtureRequest) -> Iterator[tuple[Disk, dict[str, Node]]]:
    """The disk, of the kind asked for, and the nodes of a SLURM."""
    if reason := missing(request.param):
        pytest.skip(f"no {request.param}: {reason}")
    with (
        tempfile.TemporaryDirectory(prefix="scs-disk-", dir="/tmp") as folder,
        nodes(request.param, Path(folder), CLOCKS) as (disk, made),
        running({name: node.through for name, node in made.items()}),
    ):
        yield disk, made


def variable(pid: int, name: str) -> str:
    """A variable of a process's environment."""
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(word.decode().partition("=")[2] for word in words if word.startswith(f"{name}=".encode()))


@pytest.mark.parametrize(("two", "happens"), [("glusterfs", "dies"), ("sshfs", "hangs")], indirect=["two"])
def test_a_study_over_two_nodes_of_which_one_is_lost_equals_one_that_was_left_in_peace(
    two: tuple[Disk, dict[str, Node]], happens: str, tmp_path: Path, shut: Callable[..., Gate]
) -> None:
    disk, made = two
    runs, calm = disk.folder / "runs", tmp_path / "calm"
    cells = [cell(seed, epochs=3) for seed in range(4)]
    gates = {each.run_name: shut(runs / each.run_name / run_folder.HISTORY, lines=1) for each in cells}
    cases = "".join(f"{name}) export {' '.join(clock(node.ahead))};; " for name, node in made.items())
    launch = stopping_at_gates(tmp_path, f'case "$SLURMD_NODENAME" in {cases} esac', cpus=2, parallel=2)
    _, numbers = submit("t", cells, run_context(runs), launch, ENGINE)
    assert len(numbers) == 2

    # Each node is in the middle of two runs, and then there is one node.
    first = {name: gate.reached() for name, gate in gates.items()}
    home = {name: variable(pid, "SLURMD_NODENAME") for name, pid in first.items()}
    assert Counter(home.values()) == {"node1": 2, "node2": 2}
    lost = [name for name, node in home.items() if node == "node2"]
    (task,) = {variable(first[name], "SLURM_ARRAY_TASK_ID") for name in lost}
    number = f"{variable(first[lost[0]], 'SLURM_ARRAY_JOB_ID')}_{task}"
    if happens == "dies":
        made["node2"].kill()
    else:
        # SLURM's own would end the rest as soon as the node wakes. They must be gone before the rest is suspended: the
        # kernel hangs up (SIGHUP) suspended processes whose session loses its leader.
        theirs = [pid for pid in made["node2"].processes() if "slurm" in name_of(pid)]
        for pid in theirs:
            os.kill(pid, signal.SIGKILL)
        until(lambda: all(state_of(pid) in ("", "Z", "X") for pid in theirs))
        made["node2"].hang()
    control("update", "nodename=node2", "state=down", "reason=lost")
    for name in gates.keys() - set(lost):
        gates[name].open()
    start_now(number)

    # The other one follows, once it has seen no heartbeat for long enough, whatever the time on the lease.
    followers = {name: gates[name].reached(but=first.values()) for name in lost}
    assert {variable(pid, "SLURMD_NODENAME") for pid in followers.values()} == {"node1"}
    if happens == "hangs":
        made["node2"].wake()  # both processes are about to record the same epoch
        assert all({first[name], followers[name]} == set(gates[name].held()) for name in lost)
    for name in lost:
        gates[name].open()
    outcomes = launch_slurm("t", cells, run_context(runs), settings(), ENGINE)
    assert outcomes is not None
    assert {outcome.state for outcome in outcomes.values()} == {"done"}, logs(runs)
    inline(cells, run_context(calm))
    for each in cells:
        folder = runs / each.run_name
        assert content(folder) == content(calm / each.run_name)
        assert not list(folder.glob("*.damaged-*"))
        hosts = [start["host"] for start in files.read_lines(folder / PROVENANCE)]
        assert hosts == (["node2", "node1"] if each.run_name in lost else ["node1"])
    if happens == "hangs":
        assert "another process has taken this run over" in logs(runs, number)
