"""Jobs on one machine, by several processes at once; the death of one costs nobody but its jobs, and them no result."""

from __future__ import annotations

from collections.abc import Sequence

from scs_study.config.schema import CellConfig
from scs_study.experiments.work import GridSource, WorkSource
from scs_study.launch.crew import Crew, assign, listen
from scs_study.launch.pool_size import PoolSize
from scs_study.launch.threads import by_numerics
from scs_study.runs.context import RunContext
from scs_study.runs.state import Outcome
from scs_study.training.stopping import Interrupted, StopRequest

_TICK = 0.5


def pool(
    cells: Sequence[CellConfig],
    context: RunContext,
    size: PoolSize,
    wait_timeout: float | None = None,
    deadline: float | None = None,
) -> dict[str, Outcome]:
    """Return what became of every cell, by run name. wait_timeout: as for GridSource. deadline: as for StopRequest.

    Raises as `run_pool`.
    """
    source = grid_source(cells, context, size, wait_timeout)
    run_pool(source, context, size, deadline)
    return source.outcomes


def grid_source(
    cells: Sequence[CellConfig], context: RunContext, size: PoolSize, wait_timeout: float | None = None
) -> GridSource:
    """Return a source of the cells, in their order; for workers with several runs, one numerics after the other."""
    if size.side_by_side > 1:
        cells = [cell for group in by_numerics(cells) for cell in group]
    return GridSource.of(cells, context.runs, wait_timeout)


def run_pool(source: WorkSource, context: RunContext, size: PoolSize, deadline: float | None = None) -> None:
    """Compute all jobs of `source`, or until the deadline.

    A worker that is killed is replaced, and its jobs continue from their checkpoints; one that kills its workers DEATHS
    times in the same epoch has failed. Raises stopping.Interrupted after SIGTERM or SIGINT, or after SLURM's warning;
    the workers have written their checkpoints then.
    """
    crew = Crew(source, context, size, [None] * size.workers)
    with StopRequest(deadline=deadline).listening() as stop:
        at_once = False
        try:
            while not stop():
                assign(crew, stop)
                if not crew.held() and source.exhausted():
                    break
                listen(crew, _TICK)
        except Interrupted:
            pass
        except KeyboardInterrupt:  # the second request came before the loop had seen the first
            at_once = True
        finally:
            at_once = _shut_down(crew, at_once)
        if not at_once:
            for job in crew.held():
                source.requeue(job)
        if stop() and not stop.out_of_time:
            raise Interrupted("stopped at once" if at_once else "stopped")


def _shut_down(crew: Crew, at_once: bool) -> bool:
    """End all workers, and return whether they were killed: `at_once`, or because that is asked for meanwhile.

    Otherwise the idle are told that there is no more to do, and the others write checkpoints first.
    """
    members = crew.present()
    if not at_once:
        try:
            for member in members:
                if member.orders and member.process.is_alive():
                    member.process.terminate()
                member.connection.close()
            for member in members:
                member.process.join()
        except KeyboardInterrupt:
            at_once = True
    if at_once:  # their last checkpoints must do
        for member in members:
            member.process.kill()
            member.process.join()
            member.connection.close()
    return at_once
