"""A process of a pool: gets jobs from its parent one at a time and reports epochs and outcomes."""

from __future__ import annotations

import contextlib
import signal
from multiprocessing.connection import Connection
from typing import Any

import torch

from scs_study.config.schema import CellConfig
from scs_study.launch.run_job import run_job
from scs_study.runs.context import RunContext
from scs_study.runs.lock import Heartbeats
from scs_study.training.process import prepare_process
from scs_study.training.stopping import WARNING, Interrupted, StopRequest

BLOCKED = (signal.SIGTERM, *WARNING)
"""Signals that wait until a worker can handle them; the fork server, which only forks, never gets them."""


def worker_loop(connection: Connection, context: RunContext, threads: int, judged: bool) -> None:
    """Compute cells until the parent has no more or is gone.

    Receives CellConfig or None, and after every epoch, where runs are `judged`, whether to go on. Sends ("epoch",
    line), ("outcome", Outcome) and ("interrupted", sentence).

    SIGTERM, and the parent's death, stop the run with a checkpoint. SIGINT is left to the parent, which sends SIGTERM:
    on a terminal it reaches all processes at once.
    """
    prepare_process()
    torch.set_num_threads(threads)
    on_cuda = context.settings.device.type == "cuda"
    if on_cuda:
        torch.cuda.set_device(context.settings.device)
    heartbeats: Heartbeats = {}

    def send(kind: str, value: Any) -> None:
        with contextlib.suppress(OSError):  # the parent is gone, and its death is noticed elsewhere
            connection.send((kind, value))

    def report(line: dict[str, Any]) -> bool:
        send("epoch", line)
        return not judged or _receive(connection) is not False

    # Patient: SLURM signals all processes of a task, and then the parent passes the same on.
    with StopRequest(patient=True).listening((signal.SIGTERM,)) as request:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)

        def stop() -> bool:
            # Between epochs the parent says nothing: what can be read then is the end of it.
            return request() or _readable(connection)

        while isinstance(cell := _receive(connection), CellConfig):
            try:
                outcome = run_job(cell, context, stop, report, heartbeats)
            except (Interrupted, KeyboardInterrupt) as stopped:
                send("interrupted", str(stopped))
                return
            send("outcome", outcome)
            if outcome.state == "failed" and on_cuda:
                return  # what an error leaves of a CUDA context must not fail the next cell


def _readable(connection: Connection) -> bool:
    try:
        return connection.poll()
    except OSError:
        return True


def _receive(connection: Connection) -> Any:
    """Return what the parent sends next, None when it is gone."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None
