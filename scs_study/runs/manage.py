"""Runs listed by name and state, and what may be done with exactly those: deleted, done again, stopped, resumed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from scs_study.config.schema import cell_from_dict
from scs_study.runs.lock import RunLock, acquire
from scs_study.runs.state import RunState, run_state
from scs_study.runs.stopped import resume_run, stop_run
from scs_study.system import files
from scs_study.training.run_dir import CONFIG


@dataclass(frozen=True)
class Listed:
    """A run as it was found: its folder, state, and the bytes of its files."""

    folder: Path
    state: RunState
    size: int

    def __str__(self) -> str:
        state = self.state
        text = f"{self.folder.name}  {state.state}, epoch {state.epoch}/{state.epochs}, {self.size / 1e6:.1f} MB"
        text += f", on {state.owner}" if state.owner else ""
        return f"{text}: {state.message}" if state.message else text


def listed(runs: Path, names: Sequence[str], states: Collection[str]) -> list[Listed]:
    """Return the runs of these names whose state is among `states`, or any where there are none."""
    found = []
    for name in names:
        folder = runs / name
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        run = Listed(folder, _state(folder), size)
        if not states or run.state.state in states:
            found.append(run)
    return found


def _state(folder: Path) -> RunState:
    try:
        cell = cell_from_dict(files.read_json(folder / CONFIG))
    except (OSError, ValueError) as error:
        return RunState("damaged", 0, 0, None, str(error))
    if cell.run_name != folder.name:
        return RunState("damaged", 0, 0, None, f"{folder / CONFIG} is of another run, {cell.run_name}")
    return run_state(folder.parent, cell)


def stop(run: Listed) -> str:
    """Stop a run, and return a sentence. One that is final is left as it is."""
    if run.state.final:
        return "is over already"
    stop_run(run.folder)
    return "stops with a checkpoint, and stays stopped" if run.state.state == "running" else "stays stopped"


def resume(run: Listed) -> str:
    """Let a stopped run go on, and return a sentence."""
    if run.state.state != "stopped":
        return f"is not stopped but {run.state.state}"
    resume_run(run.folder)
    return "goes on with the next command that has its cell"


def delete(run: Listed) -> str:
    """Delete a run's folder, and return a sentence. Raises Busy when somebody works on the run."""
    # Under another name first: a reader must not find half a run, and nobody can lock what is not there.
    gone = run.folder.with_name(f".deleted-{run.folder.name}")
    _locked(run.folder, lambda lock: run.folder.rename(gone))
    shutil.rmtree(gone)
    return "is deleted"


def redo(run: Listed) -> str:
    """Take everything from a run's folder but its settings, and return a sentence. Raises Busy as `delete`."""

    def clear(lock: RunLock) -> None:
        # The lock's files stay: a number is never used twice.
        for path in run.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != CONFIG and not path.name.startswith("lease-"):
                path.unlink()

    _locked(run.folder, clear)
    return "is computed anew by the next command that has its cell"


def _locked(folder: Path, action: Callable[[RunLock], object]) -> None:
    lock = acquire(folder)
    try:
        action(lock)
    finally:
        lock.release()


ACTIONS: dict[str, Callable[[Listed], str]] = {"stop": stop, "resume": resume, "redo": redo, "delete": delete}
"""What may be done with listed runs, by the word that asks for it."""
