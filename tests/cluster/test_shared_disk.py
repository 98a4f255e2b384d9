"""A disk that two nodes share over a network, each with its own clock and its own view of what the other has done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scs_study.experiments.compose import PROJECT
from scs_study.runs import lock as lease
from scs_study.system import files
from tests.gates import LISTENER, until
from tests.slurm.nodes import PACKAGES, Disk, Node, missing, nodes

DAY = 86_400
CLOCKS = {"east": DAY, "west": -3600}
"""A day ahead, and an hour behind."""

Process = subprocess.Popen[str]
On = Callable[..., Process]
Shared = tuple[Disk, dict[str, Node]]


@pytest.fixture(scope="module", params=sorted(PACKAGES))
def shared(request: pytest.FixtureRequest) -> Iterator[Shared]:
    """A disk of each kind, and the two nodes."""
    if reason := missing(request.param):
        pytest.skip(f"no {request.param}: {reason}")
    with (
        tempfile.TemporaryDirectory(prefix="scs-disk-", dir="/tmp") as folder,
        nodes(request.param, Path(folder), CLOCKS) as made,
    ):
        yield made


@pytest.fixture
def on() -> Iterator[On]:
    """Starts a Python on a node, with a script; in the end all of them are killed."""
    started: list[Process] = []

    def start(node: Node, script: str, *arguments: object) -> Process:
        command = node.command(sys.executable, "-c", script, *map(str, arguments))
        environment = {**os.environ, "PYTHONPATH": f"{LISTENER}:{PROJECT}"}
        started.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: Process) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: Process) -> None:
    """Let it go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def run(shared: Shared, tmp_path: Path) -> Path:
    """An empty folder on the disk."""
    folder = shared[0].folder / tmp_path.name
    folder.mkdir()
    return folder


ACQUIRE = """
import sys, time
from pathlib import Path
from scs_study.runs import lock as lease
lease.HEARTBEAT = 1.1  # longer than times on the disk are apart at least
for line in sys.stdin:
    try:
        held = lease.acquire(Path(sys.argv[1]))
        print("held", flush=True)
    except lease.Busy:
        print("busy", flush=True)
    next(sys.stdin)
    held.release()
    print("released", flush=True)
"""


def test_a_nodes_clock_and_name_are_its_own(on: On, shared: Shared) -> None:
    script = "import socket, time; print(socket.gethostname(), time.time())"
    for name, node in shared[1].items():
        process = on(node, script)
        host, now = said(process).split()
        assert process.wait() == 0
        assert host == name
        assert float(now) - CLOCKS[name] == pytest.approx(time.time(), abs=600)


CREATE = """
import os, sys
from pathlib import Path
from scs_study.runs.lock import Busy, acquire
won = []
for number in range(30):
    folder = Path(sys.argv[1]) / str(number)
    print("ready", flush=True)
    next(sys.stdin)
    try:
        acquire(folder)
        won.append(number)
    except Busy:
        pass
print(*won, flush=True)
"""


def test_of_two_nodes_that_want_a_run_at_the_same_time_one_gets_it(on: On, shared: Shared, run: Path) -> None:
    for number in range(30):
        (run / str(number)).mkdir()
    both = [on(node, CREATE, run) for node in shared[1].values()]
    for _ in range(30):
        assert [said(process) for process in both] == ["ready", "ready"]
        for process in both:
            tell(process)
    won = [[int(word) for word in said(process).split()] for process in both]
    assert sorted(won[0] + won[1]) == list(range(30))
    assert [process.wait() for process in both] == [0, 0]


def test_a_run_that_one_node_gives_back_is_free_on_the_other(on: On, shared: Shared, run: Path) -> None:
    """As soon as the other node's client has seen it; nobody waits for a heartbeat to be missed."""
    owner = on(shared[1]["east"], ACQUIRE, run)
    tell(owner)
    assert said(owner) == "held"
    with pytest.raises(lease.Busy, match="on east is working on it"):
        lease.acquire(run)
    tell(owner)
    assert said(owner) == "released"
    until(lambda: lease.owner_of(run, heartbeats=lease.Heartbeats()) is None)
    lease.acquire(run).release()


@pytest.mark.parametrize("name", CLOCKS)
def test_a_heartbeat_is_seen_on_other_nodes_whatever_its_clock_says(
    on: On, shared: Shared, run: Path, name: str
) -> None:
    owner = on(shared[1][name], ACQUIRE, run)
    tell(owner)
    assert said(owner) == "held"
    heartbeats = lease.Heartbeats()

    def beat() -> int:
        with pytest.raises(lease.Busy):
            lease.acquire(run, heartbeats)
        return heartbeats[run / "lease-1.json"][0]

    first = beat()
    until(lambda: beat() != first, every=0.2)
    owner.kill()
    owner.wait()
    last = beat()
    silent = heartbeats[run / "lease-1.json"][1]
    assert beat() == last or silent == 0


REPLACE = """
import sys
from pathlib import Path
from scs_study.system import files
for number in range(100):
    files.write_json(Path(sys.argv[1]) / "status.json", {"number": number, "words": "x" * (number % 7) * 500})
"""


def test_a_file_that_a_node_replaces_is_read_whole_on_the_other_one(on: On, shared: Shared, run: Path) -> None:
    files.write_json(run / "status.json", {"number": -1, "words": ""})
    writer = on(shared[1]["west"], REPLACE, run)
    seen = []
    while writer.poll() is None:
        seen.append(files.read_json(run / "status.json"))
    assert writer.returncode == 0
    assert all(len(each["words"]) == max(0, each["number"]) % 7 * 500 for each in seen)
    until(lambda: files.read_json(run / "status.json")["number"] == 99)


APPEND = """
import sys
from pathlib import Path
from scs_study.system import files
for line in sys.stdin:
    files.append_line(Path(sys.argv[1]) / "history.jsonl", {"by": sys.argv[2]})
    print("done", flush=True)
"""


def test_nodes_that_take_turns_append_to_the_same_file(on: On, shared: Shared, run: Path) -> None:
    both = {name: on(node, APPEND, run, name) for name, node in shared[1].items()}
    for _ in range(5):
        for process in both.values():
            tell(process)
            assert said(process) == "done"
    until(lambda: [line["by"] for line in files.read_lines(run / "history.jsonl")] == [*both] * 5)


def test_a_node_that_hangs_is_followed_and_notices_when_it_wakes(
    on: On, shared: Shared, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it hangs, the client of its disk, too."""
    _, made = shared
    owner = on(made["west"], HANGS, run)
    assert said(owner) == "held"
    heartbeats, now = lease.Heartbeats(), [0.0]
    monkeypatch.setattr(lease, "_clock", lambda: now[0])
    made["west"].hang()
    try:
        taken = until(lambda: _followed(run, heartbeats, now), every=0)
    finally:
        made["west"].wake()
    assert "taken this run over" in said(owner)
    taken.check()
    taken.release()
    assert owner.wait() == 0
    assert json.loads((run / "lease-2.json").read_text())["pid"] == os.getpid()


HANGS = """
import sys
from pathlib import Path
from scs_study.runs import lock as lease
lease.HEARTBEAT = 1.1
held = lease.acquire(Path(sys.argv[1]))
print("held", flush=True)
while True:
    try:
        held.check()
    except lease.LockLost as lost:
        sys.exit(print(lost, flush=True))
"""


def _followed(run: Path, heartbeats: lease.Heartbeats, now: list[float]) -> lease.RunLock | None:
    now[0] += 1
    try:
        return lease.acquire(run, heartbeats)
    except lease.Busy:
        return None
