"""Runs one cell so that nothing is swallowed: locked, recorded, and isolated from the cells beside it."""

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
from scs_study.runs.stopped import MESSAGE, STOPPED, StopFile, is_stopped
from scs_study.runs.validate import RunDir, read_run, repair, unreadable
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
    try:
        run = read_run(context.runs, cell)
        if cell.parent is not None and not run.is_complete:
            # Its epochs are not this cell's to report.
            outcome = run_cell(cell.parent, context, stop, heartbeats=heartbeats)
            if outcome.state == "busy":
                return Outcome("busy", f"{cell.run_name} waits for its pretrained weights: {outcome.message}")
        if is_stopped(run.folder) and not run.state.final:
            return Outcome(STOPPED, MESSAGE)
        if run.is_complete or (run.state.state == "failed" and not context.retry_failed):
            return Outcome(run.state.state, run.state.message)
        if sentence := unreadable(run.folder):
            return Outcome("failed", sentence)
        run.folder.mkdir(parents=True, exist_ok=True)
        lock = acquire(run.folder, heartbeats)
    except Busy as busy:
        return Outcome("busy", str(busy))
    except OSError as error:  # a full disk, a folder one may not write in: this cell's misfortune, and no other's
        return Outcome("failed", _sentence(error))
    try:
        run = repair(context.runs, cell)
        if run.state.final:  # finished by another process before the run was locked
            return Outcome(run.state.state, run.state.message)
        return _compute(run, context, lock, stop, report)
    except Interrupted:
        if is_stopped(run.folder) and not stop():
            return Outcome(STOPPED, MESSAGE)
        raise
    except LockLost:
        raise
    except (Exception, SystemExit) as error:
        return _failed(run, lock, error)
    finally:
        lock.release()


def _compute(
    run: RunDir,
    context: RunContext,
    lock: RunLock,
    stop: Callable[[], bool],
    report: Callable[[dict[str, Any]], None],
) -> Outcome:
    stopped = StopFile(run.folder)

    def stop_or_lost() -> bool:
        lock.check_if_silent()
        return stopped() or stop()

    cell, folder = run.cell, run.folder
    shared = _starting_weights(cell, context)
    images = context.images(cell.data)
    starts = files.read_lines(folder / PROVENANCE)
    start = provenance(cell, context.settings, len(starts))
    _check_origins(folder, starts, {"shared_checksum": shared.checksum, "data_digest": images.digest})
    files.append_line(folder / PROVENANCE, {**start, "shared_checksum": shared.checksum, "data_digest": images.digest})
    result = train(cell, folder, images, shared, context.settings, stop_or_lost, report, lock.check)
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
    if cell.parent is not None:
        state = run_state(context.runs, cell.parent)
        if state.state != "done":
            raise ValueError(f"its pretrained weights would be those of {cell.parent.run_name}, which is {state.state}")
        trained, _ = load_tensors(context.runs / cell.parent.run_name / run_folder.WEIGHTS)
    return initial_weights(cell.arch, cell.seed, cell.init, context.runs / INITIAL, trained, cell.data.ends)


def give_up(cell: CellConfig, context: RunContext, sentence: str) -> Outcome:
    """Return the outcome "failed" with `sentence`, recorded in the run's folder, for a cell that kills whoever works on
    it.
    """
    run = read_run(context.runs, cell)
    try:
        lock = acquire(run.folder)
    except (Busy, OSError):
        return Outcome("failed", sentence)
    try:
        return _failed(run, lock, RuntimeError(sentence))
    finally:
        lock.release()


def _failed(run: RunDir, lock: RunLock, error: BaseException) -> Outcome:
    sentence = _sentence(error)
    lock.check()
    try:
        epoch = run_state(run.folder.parent, run.cell).epoch  # it has gone on since it was read
        files.write_text(run.folder / run_folder.ERROR, "".join(traceback.format_exception(error)))
        run_folder.write_status(run.folder, "failed", epoch, run.cell.train.epochs, sentence)
    except OSError as second:  # a full disk or a folder that has become read-only: say it, there is nowhere to write it
        sentence += f" (and the failure could not be recorded: {second})"
    return Outcome("failed", sentence)


def _sentence(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    if isinstance(error, ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
