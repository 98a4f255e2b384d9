"""Runs one cell so that nothing is swallowed: leased, recorded, and isolated from the cells beside it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scs_study.config.schema import CellConfig
from scs_study.models import InitialWeights, initial_weights
from scs_study.models.outside import adopt
from scs_study.runs.context import RunContext
from scs_study.runs.lock import Busy, Heartbeats, LockLost, RunLock, acquire
from scs_study.runs.provenance import PROVENANCE, provenance
from scs_study.runs.state import INITIAL, Outcome, run_state
from scs_study.runs.validate import is_complete, repair, unreadable
from scs_study.system import files
from scs_study.system.console import say
from scs_study.system.tensors import load_tensors, quarantine
from scs_study.training import checkpoint, record
from scs_study.training import run_dir as run_folder
from scs_study.training.run import train
from scs_study.training.stopping import Interrupted


def run_cell(
    cell: CellConfig,
    context: RunContext,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
    heartbeats: Heartbeats | None = None,
) -> Outcome:
    """Return what became of the cell. A run that is final and whole is left alone, one of another process is "busy".

    A cell that starts from another one's trained weights has that one computed first.
    A run that raises (SystemExit included) is "failed": its traceback is in error.txt and its sentence in the outcome.
    Raises Interrupted when `stop()` turned true; LockLost when another process took over because this one was silent.
    """
    folder = context.runs / cell.run_name
    if cell.source is not None and not is_complete(context.runs, cell):
        outcome = run_cell(
            cell.source, context, stop, heartbeats=heartbeats
        )  # its epochs are not this cell's to report
        if outcome.state == "busy":
            return Outcome("busy", f"{cell.run_name} waits for its pretrained weights: {outcome.message}")
    try:
        before = run_state(context.runs, cell)
        if is_complete(context.runs, cell) or (before.state == "failed" and not context.retry_failed):
            return Outcome(before.state, before.message)
        if sentence := unreadable(folder):
            return Outcome("failed", sentence)
        folder.mkdir(parents=True, exist_ok=True)
        lease = acquire(folder, heartbeats)
    except Busy as busy:
        return Outcome("busy", str(busy))
    except OSError as error:  # a full disk, a folder one may not write in: this cell's misfortune, and no other's
        return Outcome("failed", _sentence(error))
    try:
        repair(folder, cell)
        state = run_state(context.runs, cell)
        if state.final:  # finished by another process between the two looks
            return Outcome(state.state, state.message)
        return _compute(cell, folder, context, lease, stop, report)
    except (Interrupted, LockLost):
        raise
    except (Exception, SystemExit) as error:
        return _failed(cell, folder, lease, error)
    finally:
        lease.release()


def _compute(
    cell: CellConfig,
    folder: Path,
    context: RunContext,
    lease: RunLock,
    stop: Callable[[], bool],
    report: Callable[[dict[str, Any]], None],
) -> Outcome:
    def stop_or_lost() -> bool:
        lease.check_if_silent()
        return stop()

    shared = _starting_weights(cell, context)
    images = context.images(cell.data)
    starts = files.read_lines(folder / PROVENANCE)
    start = provenance(cell, context.settings, len(starts))
    _check_origins(folder, starts, {"shared_checksum": shared.checksum, "data_digest": images.digest})
    files.append_line(folder / PROVENANCE, {**start, "shared_checksum": shared.checksum, "data_digest": images.digest})
    result = train(cell, folder, images, shared, context.settings, stop_or_lost, report, lease.check)
    (folder / run_folder.ERROR).unlink(missing_ok=True)
    return Outcome(result["state"], record.message(result))


def _check_origins(folder: Path, starts: Sequence[Mapping[str, Any]], origins: Mapping[str, str]) -> None:
    """Set a checkpoint aside that is of other images or initial weights than the run has now: it starts again."""
    words = {"shared_checksum": "initial weights", "data_digest": "images"}
    other = [words[key] for key, value in origins.items() if starts and starts[-1].get(key, value) != value]
    if other and (path := folder / checkpoint.NAME).exists():
        say(
            f"{path} is of other {' and '.join(other)} than the run has now; set aside as {quarantine(path).name}, and "
            "the run starts again from its first epoch"
        )


def _starting_weights(cell: CellConfig, context: RunContext) -> InitialWeights:
    adopt(cell)
    trained = None
    if cell.source is not None:
        state = run_state(context.runs, cell.source)
        if state.state != "done":
            raise ValueError(f"its pretrained weights would be those of {cell.source.run_name}, which is {state.state}")
        trained, _ = load_tensors(context.runs / cell.source.run_name / run_folder.WEIGHTS)
    return initial_weights(cell.arch, cell.seed, cell.init, context.runs / INITIAL, trained, cell.data.ends)


def give_up(cell: CellConfig, context: RunContext, sentence: str) -> Outcome:
    """Return the outcome "failed" with `sentence`, recorded in the run's folder, for a cell that kills whoever works on
    it.
    """
    folder = context.runs / cell.run_name
    try:
        lease = acquire(folder)
    except (Busy, OSError):
        return Outcome("failed", sentence)
    try:
        return _failed(cell, folder, lease, RuntimeError(sentence))
    finally:
        lease.release()


def _failed(cell: CellConfig, folder: Path, lease: RunLock, error: BaseException) -> Outcome:
    sentence = _sentence(error)
    lease.check()
    try:
        epoch = run_state(folder.parent, cell).epoch
        files.write_text(folder / run_folder.ERROR, "".join(traceback.format_exception(error)))
        run_folder.write_status(folder, "failed", epoch, cell.train.epochs, sentence)
    except OSError as second:  # a full disk or a folder that has become read-only: say it, there is nowhere to write it
        sentence += f" (and the failure could not be recorded: {second})"
    return Outcome("failed", sentence)


def _sentence(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    if isinstance(error, ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
