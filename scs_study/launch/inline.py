"""Gets a study's cells computed. A launcher is a plain function; all of them end in runner.run_cell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from scs_study.config.schema import CellConfig
from scs_study.runs.context import Workplace
from scs_study.runs.lock import STALE, LeaseLost, Watch
from scs_study.runs.progress import Progress
from scs_study.runs.run_one import run_cell
from scs_study.runs.state import Outcome, run_states
from scs_study.training.stopping import Interrupted, StopRequest

POLL = 2.0
PATIENCE = 2 * STALE
"""Seconds after which a task of the cluster no longer waits for runs of others: by then a dead one was taken over."""


def inline(cells: Sequence[CellConfig], place: Workplace, patience: float | None = None) -> dict[str, Outcome]:
    """What became of every cell, by run name: one after the other, in this process.

    A cell that another process works on is left for later, and waited for at the end: its owner may die, and then it
    is this process's to finish. patience: seconds of waiting after which such cells are left as "busy"; None: no end.
    Errors: stopping.Interrupted after SIGTERM or SIGINT, or after SLURM's warning (SIGUSR1, SIGUSR2).
    """
    progress = Progress.start(cells, epochs_left(cells, place))
    outcomes: dict[str, Outcome] = {}
    watch: Watch = {}
    waiting = list(enumerate(cells, start=1))
    worked = time.monotonic()
    told: set[str] = set()
    with StopRequest().listening() as stop:
        while waiting:
            busy = []
            for number, cell in waiting:
                outcome = _one(number, cell, place, stop, progress, watch)
                if outcome.state == "busy":
                    busy.append((number, cell))
                    if cell.run_name not in told:
                        progress.say(f"[{number}/{len(cells)}] {outcome.message}; it is left for later")
                        told.add(cell.run_name)
                    continue
                worked = time.monotonic()
                outcomes[cell.run_name] = outcome
                if outcome.state != "done":
                    progress.say(f"[{number}/{len(cells)}] {cell.slug}: {outcome.state}: {outcome.message}")
            waiting = busy
            if stop():
                raise Interrupted("stopped")
            if waiting and patience is not None and time.monotonic() - worked > patience:
                return outcomes | {cell.run_name: Outcome("busy", "left to its owner") for _, cell in waiting}
            if waiting:
                time.sleep(POLL)
    return outcomes


def _one(
    number: int, cell: CellConfig, place: Workplace, stop: StopRequest, progress: Progress, watch: Watch
) -> Outcome:
    try:
        return run_cell(cell, place, stop, partial(progress.epoch, number, cell), watch)
    except LeaseLost as lost:
        return Outcome("busy", str(lost))
    except KeyboardInterrupt:
        raise Interrupted(f"{cell.run_name} was stopped at once; it continues from its last checkpoint") from None


def epochs_left(cells: Sequence[CellConfig], place: Workplace) -> int:
    """How many epochs of the cells are still to compute."""
    states = run_states(place.runs, cells)
    return sum(c.train.epochs - states[c.run_name].epoch for c in cells if not states[c.run_name].final)
