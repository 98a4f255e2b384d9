"""Jobs one after the other, in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from scs_study.config.schema import CellConfig
from scs_study.experiments.work import GridSource, WorkSource
from scs_study.launch.run_job import run_job
from scs_study.runs.context import RunContext
from scs_study.runs.lock import Heartbeats
from scs_study.runs.state import Outcome
from scs_study.training.stopping import Interrupted, StopRequest

_TICK = 0.2


def inline(cells: Sequence[CellConfig], context: RunContext, wait_timeout: float | None = None) -> dict[str, Outcome]:
    """Return what became of every cell, by run name. wait_timeout: as for GridSource.

    Raises stopping.Interrupted after SIGTERM or SIGINT, or after SLURM's warning (SIGUSR1, SIGUSR2).
    """
    source = GridSource.of(cells, context.runs, wait_timeout)
    run_inline(source, context)
    return source.outcomes


def run_inline(source: WorkSource, context: RunContext) -> None:
    """Compute all jobs of `source`. Raises stopping.Interrupted as `inline`."""
    heartbeats: Heartbeats = {}
    with StopRequest().listening() as stop:
        try:
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
        except KeyboardInterrupt:  # asked twice
            raise Interrupted("at once; what was running continues from its last checkpoint") from None
        raise Interrupted("stopped")
