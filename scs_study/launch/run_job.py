"""Jobs, computed in this process: what every worker does, whoever started it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from scs_study.config.schema import CellConfig
from scs_study.experiments.work import WorkSource
from scs_study.runs.context import RunContext
from scs_study.runs.lock import Heartbeats, LockLost
from scs_study.runs.run_one import run_cell
from scs_study.runs.state import Outcome
from scs_study.training.stopping import Interrupted

_TICK = 0.2


def run_jobs(
    source: WorkSource, context: RunContext, stop: Callable[[], bool], heartbeats: Heartbeats | None = None
) -> None:
    """Compute the jobs of `source`, one after the other, until it is exhausted.

    heartbeats: what this process has seen of others' locks, shared by all who take jobs from the same source.
    Raises stopping.Interrupted when `stop()` turned true; the job that was being computed is given back then.
    """
    heartbeats = {} if heartbeats is None else heartbeats
    while not stop():
        job = source.acquire(stop)
        if job is None:
            if source.exhausted():
                return
            time.sleep(_TICK)
            continue
        try:
            outcome = run_job(job.cell, context, stop, partial(source.report, job), heartbeats)
        except Interrupted:
            source.requeue(job)
            raise
        source.finish(job, outcome)
    raise Interrupted("stopped")


def run_job(
    cell: CellConfig,
    context: RunContext,
    stop: Callable[[], bool],
    report: Callable[[dict[str, Any]], bool],
    heartbeats: Heartbeats,
) -> Outcome:
    """Return what became of the cell: "interrupted" when `report` said no, "busy" when another process is at it.

    Raises stopping.Interrupted when `stop()` turned true.
    """
    over = False

    def reported(line: dict[str, Any]) -> None:
        nonlocal over
        over = not report(line) or over

    try:
        return run_cell(cell, context, lambda: over or stop(), reported, heartbeats)
    except LockLost as lost:
        return Outcome("busy", str(lost))
    except Interrupted as stopped:
        if over:
            return Outcome("interrupted", str(stopped))
        raise
