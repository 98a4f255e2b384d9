"""The run folders: what state each is in, read from its files alone."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scs_study.config.schema import CellConfig
from scs_study.runs.lock import Heartbeats, owner_of
from scs_study.runs.stopped import MESSAGE, STOPPED, is_stopped
from scs_study.system import files
from scs_study.training import run_dir as run_folder

INITIAL = ".initial"
"""Folder of the shared initial weights, beside the runs."""
INDEX = ".final.json"
"""Which runs were final when somebody last looked; only ever a shortcut, and safe to delete."""
_WORTHWHILE = 200
"""Below so many newly final runs, reading them is faster than thinking about it."""
_SETTLED = 2.0
"""Seconds: a folder that changed less than this ago may change again without its time showing it."""


STATES = (*run_folder.FINAL_STATES, "running", "interrupted", STOPPED, "failed", "damaged", "missing")
"""All that a run can be, in the order in which states are counted."""


@dataclass(frozen=True)
class RunState:
    """state: one of STATES. epoch: completed ones of `epochs`.

    age: seconds since the last heartbeat of a running run, owner: where it runs. message: one sentence for failed,
    diverged, damaged.
    """

    state: str
    epoch: int
    epochs: int
    age: float | None
    message: str
    owner: str = ""

    @property
    def final(self) -> bool:
        """Whether nothing is left to compute."""
        return self.state in run_folder.FINAL_STATES


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: a state of RunState, or "busy" when another process works on it."""

    state: str
    message: str = ""


def run_state(runs: Path, cell: CellConfig, now: float | None = None) -> RunState:
    """Return the state of a cell's run. A run whose process is gone is `interrupted`, whatever its last words were.

    now: as for `lock.owner_of`.
    """
    return _state(runs / cell.run_name, cell.train.epochs, now, None)


def _state(folder: Path, epochs: int, now: float | None, heartbeats: Heartbeats | None) -> RunState:
    try:
        status = files.read_json(folder / run_folder.STATUS)
        state, epoch, message = str(status["state"]), int(status["epoch"]), str(status["message"])
    except (FileNotFoundError, NotADirectoryError):
        state, epoch, message = "missing", 0, ""
    except (ValueError, KeyError, TypeError, OverflowError, OSError) as error:
        state, epoch, message = "damaged", 0, f"{run_folder.STATUS} is damaged: {error}"
    if state in run_folder.FINAL_STATES:
        return RunState(state, epoch, epochs, None, message)
    try:
        owner = owner_of(folder, now, heartbeats)
    except OSError as error:
        return RunState("damaged", epoch, epochs, None, str(error))
    if owner is not None:
        where = f"{owner.get('host', 'unknown host')}, process {owner.get('pid', 'unknown')}"
        return RunState("running", epoch, epochs, owner["age"], "", where)
    if is_stopped(folder):
        return RunState(STOPPED, epoch, epochs, None, MESSAGE)
    if state == "running":
        return RunState("interrupted", epoch, epochs, None, "its process is gone")
    return RunState(state, epoch, epochs, None, message)


def run_states(runs: Path, cells: Iterable[CellConfig], heartbeats: Heartbeats | None = None) -> dict[str, RunState]:
    """Return the states of many runs, by run name. Folders that were final before and have not changed since are not
    read.

    heartbeats: as for `lock.owner_of`, of whoever looks again and again.
    """
    now = clock(runs)
    there = set(os.listdir(runs)) if runs.is_dir() else set()
    known = _read_index(runs)
    index: dict[str, tuple[int, str, int, str]] = {}
    states: dict[str, RunState] = {}
    for cell in cells:
        name = cell.run_name
        if name not in there:
            states[name] = RunState("missing", 0, cell.train.epochs, None, "")
            continue
        # Every file is replaced by renaming, and that changes the folder's own time.
        changed = os.stat(runs / name).st_mtime_ns
        entry = known.get(name)
        if entry is not None and entry[0] == changed:
            states[name] = RunState(entry[1], entry[2], cell.train.epochs, None, entry[3])
            continue
        states[name] = state = _state(runs / name, cell.train.epochs, now, heartbeats)
        if state.final and now - changed / 1e9 > _SETTLED:
            index[name] = (changed, state.state, state.epoch, state.message)
    if len(index) >= _WORTHWHILE:
        with contextlib.suppress(OSError):  # a folder one may only read
            files.write_json(runs / INDEX, {**known, **index})
    return states


def clock(folder: Path) -> float:
    """Return the time by the clock of the file system that `folder` is on, which need not be this machine's.

    Where `folder` cannot be written to, this machine's own time.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def _read_index(runs: Path) -> dict[str, tuple[int, str, int, str]]:
    try:
        content = files.read_json(runs / INDEX)
        return {name: (entry[0], entry[1], entry[2], entry[3]) for name, entry in content.items()}
    except (OSError, ValueError, AttributeError, LookupError, TypeError):
        return {}
