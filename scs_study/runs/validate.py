"""Whether a run's files can be believed, and what is done with one that cannot: set aside, said, computed again."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scs_study.config.schema import FORMAT, CellConfig
from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.state import RunState, run_state
from scs_study.system import files
from scs_study.system.console import say
from scs_study.system.tensors import load_tensors, quarantine
from scs_study.training import checkpoint, record
from scs_study.training.run_dir import (
    CONFIG,
    EPOCHS,
    ERROR,
    FINAL_STATES,
    HISTORY,
    LAYERS,
    RESULT,
    STATUS,
    STEPS,
    WEIGHTS,
    write_status,
)

_EVERYTHING = (CONFIG, STATUS, *EPOCHS, RESULT, WEIGHTS, ERROR, checkpoint.NAME)


@dataclass(frozen=True)
class Corruption:
    """A file that cannot be believed. numbers: whether the run's numbers went with it, so it must be computed again."""

    path: Path
    message: str
    numbers: bool


@dataclass(frozen=True)
class RunDir:
    """A run's folder as one look found it, so that nobody need look again; valid while the run is locked, or over."""

    folder: Path
    cell: CellConfig
    state: RunState

    @functools.cached_property
    def corruption(self) -> tuple[Corruption, ...]:
        """What is wrong with its files; of a run that is not final only with those that never change."""
        return tuple(corruption(self.folder, self.cell))

    @property
    def is_complete(self) -> bool:
        """The run is final and all its files are whole: nothing is left to do. Of no other run is a file checked."""
        return self.state.final and not self.corruption


def read_run(runs: Path, cell: CellConfig) -> RunDir:
    """Return the folder of the cell's run as it is now."""
    return RunDir(runs / cell.run_name, cell, run_state(runs, cell))


def is_complete(runs: Path, cell: CellConfig) -> bool:
    """Return whether nothing is left to do of the cell's run, as RunDir.is_complete says it."""
    return read_run(runs, cell).is_complete


def corruption(folder: Path, cell: CellConfig) -> list[Corruption]:
    """Return what is wrong in a run's folder. Of a run that is not final only the files that never change are looked
    at.

    The checkpoint, history and layers of a run that is resumed are checked where they are read (training.checkpoint).
    """
    found: list[Corruption] = []
    try:
        identity = files.read_json(folder / CONFIG)
        if identity != cell.identity():
            found.append(Corruption(folder / CONFIG, _foreign(folder / CONFIG, identity), True))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        found.append(Corruption(folder / CONFIG, str(error), False))
    found += _unreadable(folder / STATUS, lambda path: _status(path))
    found += _unreadable(folder / PROVENANCE, files.read_lines)
    status = next((d for d in found if d.path.name == STATUS), None)
    claims = status is None and (folder / STATUS).exists() and _status(folder / STATUS) == "final"
    if claims or (folder / RESULT).exists():
        found += _result_corruption(folder, cell)
    return found


def unreadable(folder: Path) -> str:
    """Return a sentence that names a file of the run which this user may not read, "" where there is none.

    Such a file is somebody else's and may be as good as ever: it is no damage, and nothing is set aside for it.
    """
    try:
        for name in (*_EVERYTHING, PROVENANCE):
            if (folder / name).exists():
                (folder / name).open("rb").close()
    except PermissionError as error:
        return f"{error.filename} cannot be read: {error.strerror}"
    return ""


def repair(runs: Path, cell: CellConfig) -> RunDir:
    """Set damaged files aside, each with a printed sentence, and return the run, which is what its files say again.

    Only for the owner of the run's lock. Files that a killed writer left behind are taken away.
    """
    folder = runs / cell.run_name
    for leftover in (*folder.glob(".*.tmp"), *folder.glob("*/.epoch-*.tmp")):
        leftover.unlink(missing_ok=True)
    run = read_run(runs, cell)
    for item in run.corruption:
        aside = f"set aside as {quarantine(item.path).name}" if item.path.exists() else "it is gone"
        again = ", and the run is computed again" if item.numbers else ""
        say(f"{item.message}; {aside}{again}")
    lost = any(item.numbers for item in run.corruption)
    if any(item.numbers and item.path.name == CONFIG for item in run.corruption):
        for name in _EVERYTHING:
            if (folder / name).exists():
                quarantine(folder / name)
    result = folder / RESULT
    if lost:
        result.unlink(missing_ok=True)
        (folder / STATUS).unlink(missing_ok=True)
    elif result.exists():
        # Killed between its result and its last status, or the status was damaged: the result stands.
        values = files.read_json(result)
        if not run_state(runs, cell).final:
            write_status(folder, values["state"], _epochs(folder), cell.train.epochs, record.message(values))
        (folder / checkpoint.NAME).unlink(missing_ok=True)
    if not (folder / CONFIG).exists():
        files.write_json(folder / CONFIG, cell.identity())
    state = run_state(runs, cell) if run.corruption or result.exists() else run.state
    return RunDir(folder, cell, state)


def _result_corruption(folder: Path, cell: CellConfig) -> Iterator[Corruption]:
    for name, check in (
        (RESULT, _result),
        (HISTORY, _recorded),
        (LAYERS, _recorded),
        (STEPS, _recorded),
        (WEIGHTS, lambda path: _weights(path, cell.run_name)),
    ):
        path = folder / name
        if not path.exists():
            yield Corruption(path, f"{path} is missing from a finished run", True)
            continue
        try:
            check(path)
        except (ValueError, LookupError, TypeError, OverflowError, OSError) as error:
            sentence = str(error) if isinstance(error, ValueError) else f"{path} is damaged: {error}"
            yield Corruption(path, sentence, True)


def _unreadable(path: Path, read: Any) -> Iterator[Corruption]:
    with contextlib.suppress(FileNotFoundError):
        try:
            read(path)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
            sentence = str(error) if str(path) in str(error) else f"{path} is damaged: {error}"
            yield Corruption(path, sentence, False)


def _status(path: Path) -> str:
    status = files.read_json(path)
    epoch, state, _ = int(status["epoch"]), status["state"], status["message"]
    if not isinstance(state, str) or epoch < 0:
        raise ValueError(f"{path} is damaged: no state of a run")
    return "final" if state in FINAL_STATES else state


def _result(path: Path) -> None:
    result = files.read_json(path)
    if result["state"] not in FINAL_STATES:
        raise ValueError(f"{path} is damaged: {result['state']!r} is no final state")
    epochs = result["epochs"]
    complete = [line for line in files.read_lines(path.parent / HISTORY) if line["test_loss"] is not None]
    if epochs != len(complete):
        raise ValueError(f"{path.parent / HISTORY} has {len(complete)} epochs, but {path.name} says {epochs}")


def _recorded(path: Path) -> None:
    record.check_epochs(path, None)
    if not files.read_bytes(path).endswith(b"\n"):
        raise ValueError(f"{path} is damaged: its last line is cut off")


def _weights(path: Path, run: str) -> None:
    _, notes = load_tensors(path)
    if notes["run"] != run:
        raise ValueError(f"{path} belongs to another run, {notes['run']}")


def _epochs(folder: Path) -> int:
    return len(files.read_lines(folder / HISTORY))


def _foreign(path: Path, identity: Any) -> str:
    version = identity.get("format") if isinstance(identity, dict) else None
    if version != FORMAT:
        return f"{path} has format {version}: written by another version of this project (this one reads {FORMAT})"
    return f"{path} does not describe this run: the folder was renamed or edited"
