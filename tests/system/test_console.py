"""Whoever looks on may go away: their lines are lost, and what is computed, recorded and answered is as ever."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scs_study.experiments.compose import PROJECT
from scs_study.system import console, files
from scs_study.training import run_dir as run_folder
from tests.gates import Gate
from tests.support import commands

FULL = Path("/dev/full")
TWO = ["study=quick", "layer=conv", "pooling=max", "seed=0", "engine.device=cpu", "engine.threads=1"]
QUICK = [*TWO, "activation=relu"]
"""One cell, of TWO's."""
TIMEOUT = 240


def folders(where: Path) -> list[str]:
    return [f"runs={where}/runs", f"results={where}/results"]


def command(where: Path, *arguments: str) -> list[str]:
    """For a Python that starts."""
    return [sys.executable, str(PROJECT / "scripts" / "replicate.py"), *arguments, *folders(where)]


def states(where: Path) -> list[str]:
    return [files.read_json(path)["state"] for path in sorted((where / "runs").glob(f"*/{run_folder.STATUS}"))]


def small(code: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """What becomes of `code` in a process of its own; it takes no time to start, since it needs no torch."""
    lines = f"import sys\nfrom scs_study.system import console\nfrom scs_study.system.console import say\n{code}"
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    return subprocess.run([sys.executable, "-c", lines], text=True, cwd=PROJECT, timeout=60, check=False, **how)


def without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@contextlib.contextmanager
def terminal(columns: int) -> Iterator[tuple[int, int]]:
    """Both ends of a terminal of that width; the one for a command is closed here afterwards."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    yield ours, theirs
    os.close(theirs)


def on_terminal(where: Path, *arguments: str, columns: int = 80) -> tuple[commands.Command, int]:
    """The command, which ignores that its terminal is closed, with one of that width as its own; and its other end."""
    line = [*arguments, *folders(where)]
    with terminal(columns) as (ours, theirs):
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        return commands.Command("replicate.py", *line, **streams, terminal=True, ignored=[signal.SIGHUP]), ours


@pytest.mark.parametrize("launch", [["launch=inline"], ["launch=pool", "launch.workers=2"]], ids=["inline", "pool"])
def test_a_study_whose_reader_goes_away_is_computed_and_published(launch: list[str], tmp_path: Path) -> None:
    """make replicate | head -3: here the reader goes after the first line, before anything is trained."""
    cells = TWO if launch[0] == "launch=pool" else QUICK
    line = [*cells, *launch, "train.epochs=2", *folders(tmp_path)]
    with commands.Command("replicate.py", *line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("quick: ")
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait(TIMEOUT) == 0
    assert error == ""
    assert set(states(tmp_path)) == {"done"}
    assert not list((tmp_path / "runs").glob(f"*/{run_folder.ERROR}"))
    assert list((tmp_path / "results").glob("*/tables/*.csv"))


def test_a_terminal_that_is_closed_under_a_study_costs_its_lines(tmp_path: Path) -> None:
    process, ours = on_terminal(tmp_path, *QUICK, "train.epochs=2")
    os.read(ours, 1)
    os.close(ours)
    assert process.wait(TIMEOUT) == 0
    assert set(states(tmp_path)) == {"done"}


def test_a_study_without_a_reader_can_be_stopped_and_loses_nothing(tmp_path: Path) -> None:
    process, ours = on_terminal(tmp_path, *QUICK, "train.epochs=400", columns=200)
    while b"epoch 1/400" not in os.read(ours, 4096):
        pass
    os.close(ours)
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 130
    assert states(tmp_path)[0] == "interrupted"


@pytest.mark.parametrize("module", ["torch", "sklearn"], ids=["at-its-imports", "at-its-images"])
def test_ctrl_c_before_the_first_run_is_told_in_a_line(module: str, tmp_path: Path, shut: Callable[..., Gate]) -> None:
    gate = shut(f"import {module}")
    line = command(tmp_path, *QUICK)
    with subprocess.Popen(
        line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
    ) as began:  # fmt: skip
        os.kill(gate.reached(), signal.SIGINT)
        gate.open()
        _, told = began.communicate(timeout=TIMEOUT)
    assert began.returncode in (130, -signal.SIGINT)
    assert told.startswith("stopped: ")
    assert told.count("\n") == 1
    assert not list(tmp_path.glob("runs/*/status.json"))


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk_is_said_once_and_fails_nothing(tmp_path: Path) -> None:
    with FULL.open("w") as full:
        done = commands.run("replicate.py", *QUICK, "train.epochs=1", *folders(tmp_path), stdout=full)
        told = commands.run("replicate.py", *QUICK, "plan=json", *folders(tmp_path), stdout=full)
    assert done.returncode == 0
    assert done.stderr == "standard output: No space left on device; its lines are lost, and the work goes on\n"
    assert set(states(tmp_path)) == {"done"}
    assert told.returncode == 1, "a plan that nobody got is no success"


def test_a_study_may_be_started_without_standard_streams(tmp_path: Path) -> None:
    line = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command(tmp_path, *QUICK, "train.epochs=1")]
    assert subprocess.run(line, timeout=TIMEOUT, check=False).returncode == 0
    assert set(states(tmp_path)) == {"done"}


def test_a_sweep_whose_reader_goes_away_finishes_its_trials(tmp_path: Path) -> None:
    recipe = [
        "name=s",
        "workers=2",
        "sweep.trials=3",
        "sweep.warmup=1",
        "sweep.prune_startup=9",
        "arch=rohrer68k",
        "train.epochs=1",
    ]
    line = [*recipe, "engine.device=cpu", "engine.threads=1", *folders(tmp_path)]
    with commands.Command("sweep.py", *line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("s: ")
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait(TIMEOUT) == 0, error
    assert "Traceback" not in error
    assert "died" not in error
    trials = (tmp_path / "results" / "sweep" / "s" / "trials.csv").read_text().splitlines()
    assert len(trials) == 4
    assert len(states(tmp_path)) == 3
    assert set(states(tmp_path)) <= set(run_folder.FINAL_STATES)


@pytest.mark.parametrize("how", ["say", "print", "sys.stdout.write", "sys.stderr.write"])
@pytest.mark.parametrize("nowhere", [without_reader, lambda: os.open(FULL, os.O_WRONLY)], ids=["pipe", "full"])
def test_nothing_that_is_printed_in_a_command_fails_it(how: str, nowhere: Callable[[], int]) -> None:
    """Of other libraries neither: a download draws its bar on standard error."""
    out = nowhere()
    code = f"with console.guarded():\n    for n in range(3000):\n        {how}('a line of some length\\n')\nsys.exit(7)"
    assert small(code, stdout=out, stderr=out).returncode == 7
    os.close(out)


def test_saying_needs_no_command_around_it() -> None:
    """As in a worker's process, or in somebody's notebook."""
    out = without_reader()
    done = small("for n in range(3000): say(f'line {n}')\nsys.exit(7)", stdout=out)
    os.close(out)
    assert (done.returncode, done.stderr) == (7, "")


def test_a_disk_that_has_space_again_gets_the_lines_from_then_on(tmp_path: Path) -> None:
    code = """
import os
log = os.dup(1)
os.dup2(os.open('/dev/full', os.O_WRONLY), 1)
say('lost')
os.dup2(log, 1)
say('said')
assert console.lost()
"""
    if not FULL.exists():
        pytest.skip("needs /dev/full")
    done = small(code)
    assert (done.returncode, done.stdout) == (0, "said\n"), tmp_path
    assert done.stderr.count("\n") == 1


def test_a_terminal_of_another_alphabet_gets_what_it_can_show() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    assert small("say('±1 é')", env=environment).stdout == "\\xb11 \\xe9\n"


def test_a_slow_reader_of_a_pipe_that_does_not_wait_gets_every_line() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    code = "for n in range(30000): say(f'line {n}')"
    lines = f"from scs_study.system.console import say\n{code}"
    with subprocess.Popen([sys.executable, "-c", lines], stdout=writer, cwd=PROJECT) as process:
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read().splitlines()
        assert process.wait(60) == 0
    assert said == [f"line {n}" for n in range(30000)]


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_a_line_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", lambda: columns)
    name, tails = "rohrer25k-scs-none-maxabs-digits-100ep-s12", ("  epoch 7/100  test accuracy 0.9876", "  7/100")
    text = console.fitted("[12/144] ", name, *tails)
    assert len(text) < columns
    assert text.startswith("[12/144] ")
    if columns >= 40:
        assert text.endswith(tails[0] if columns == 200 else tails[1])
        assert "s12" in text, "the end of a run's name tells it from its neighbours"


def test_a_file_gets_the_whole_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert console.width() is None
    assert console.fitted("[1/2] ", "name" * 40, "  long tail", "  short") == "[1/2] " + "name" * 40 + "  long tail"


@pytest.mark.parametrize("columns", [40, 80])
def test_a_studys_progress_is_rewritten_within_the_terminal(columns: int) -> None:
    code = """
from scs_study.experiments.compose import compose_cell
from scs_study.runs.progress import Progress
choices = {"arch": "rohrer25k", "layer": "scs", "activation": "relu", "pooling": "maxabs", "data": "cifar10"}
cell = compose_cell(choices, {"train.epochs": 1000}, 12)
progress = Progress.start([cell] * 144, 144000)
for epoch in (1, 2, 1000):
    progress.epoch(100, cell, dict(epoch=epoch, test_accuracy=0.5, train_seconds=100.0, eval_seconds=11.5))
"""
    shown = b""
    with terminal(columns) as (ours, theirs):
        process = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs)
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    lines = shown.decode().replace("\r\n", "\n").split("\r")[1:]
    assert len(lines) == 3
    assert all(len(line.rstrip("\n")) < columns for line in lines)
    assert all(f"{epoch}/1000" in line for epoch, line in zip((1, 2, 1000), lines, strict=True))
