"""Jobs one after the other, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from scs_study.config.schema import CellConfig
from scs_study.experiments.work import GridSource, WorkSource
from scs_study.launch.run_job import run_jobs
from scs_study.runs.context import RunContext
from scs_study.runs.state import Outcome
from scs_study.training.stopping import Interrupted, StopRequest


def inline(
    cells: Sequence[CellConfig], context: RunContext, wait_timeout: float | None = None, deadline: float | None = None
) -> dict[str, Outcome]:
    """Return what became of every cell, by run name. wait_timeout: as for GridSource. deadline: as for StopRequest.

    Raises stopping.Interrupted after SIGTERM or SIGINT, or after SLURM's warning (SIGUSR1, SIGUSR2).
    """
    source = GridSource.of(cells, context.runs, wait_timeout)
    run_inline(source, context, deadline)
    return source.outcomes


def run_inline(source: WorkSource, context: RunContext, deadline: float | None = None) -> None:
    """Compute all jobs of `source`, or until the deadline. Raises stopping.Interrupted as `inline`."""
    with StopRequest(deadline=deadline).listening() as stop:
        try:
            run_jobs(source, context, stop)
        except Interrupted:
            if not stop.out_of_time:
                raise
        except KeyboardInterrupt:  # asked twice
            raise Interrupted("at once; what was running continues from its last checkpoint") from None
