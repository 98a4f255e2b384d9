"""A process of a pool: takes cells from its parent one at a time and reports epochs and outcomes."""

from __future__ import annotations

import contextlib
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from scs_study.config.schema import CellConfig
from scs_study.runs.context import Workplace
from scs_study.runs.lock import LeaseLost, Watch
from scs_study.runs.run_one import run_cell
from scs_study.runs.state import Outcome
from scs_study.training.process import prepare_process
from scs_study.training.run import Settings
from scs_study.training.stopping import WARNING, Interrupted, StopRequest

BLOCKED = (signal.SIGTERM, *WARNING)
"""Signals that wait until a worker can handle them; the fork server, which only forks, never gets them."""


def serve(
    connection: Connection,
    runs: Path,
    settings: Settings,
    data: tuple[Path | None, Path],
    retry_failed: bool,
    threads: int,
) -> None:
    """None, when the parent has no more cells or is gone. Receives CellConfig or None; sends ("epoch", line),
    ("outcome", Outcome) and ("interrupted", sentence).

    SIGTERM, and the parent's death, stop the run with a checkpoint. SIGINT is left to the parent, which sends SIGTERM:
    on a terminal it reaches all processes at once.
    """
    prepare_process()
    torch.set_num_threads(threads)
    if settings.device.type == "cuda":
        torch.cuda.set_device(settings.device)
    place = Workplace(runs, settings, *data, retry_failed=retry_failed)
    watch: Watch = {}

    def send(kind: str, value: Any) -> None:
        with contextlib.suppress(OSError):  # the parent is gone, and its death is noticed elsewhere
            connection.send((kind, value))

    # Patient: SLURM signals all processes of a task, and then the parent passes the same on.
    with StopRequest(patient=True).listening((signal.SIGTERM,)) as request:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)

        def stop() -> bool:
            # The parent says nothing while a cell is worked on: what can be read then is the end of it.
            return request() or _readable(connection)

        while (cell := _next(connection)) is not None:
            try:
                outcome = run_cell(cell, place, stop, lambda line: send("epoch", line), watch)
            except LeaseLost as lost:
                outcome = Outcome("busy", str(lost))
            except (Interrupted, KeyboardInterrupt) as stopped:
                send("interrupted", str(stopped))
                return
            send("outcome", outcome)
            if outcome.state == "failed" and settings.device.type == "cuda":
                return  # what an error leaves of a CUDA context must not fail the next cell


def _readable(connection: Connection) -> bool:
    try:
        return connection.poll()
    except OSError:
        return True


def _next(connection: Connection) -> CellConfig | None:
    try:
        cell = connection.recv()
    except (EOFError, OSError):
        return None
    assert cell is None or isinstance(cell, CellConfig)
    return cell
