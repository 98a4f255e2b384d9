"""Several cells at once in one process, each in a thread with a CUDA stream of its own.

A network of 25K parameters does not fill a GPU. Processes on one GPU take turns; streams of one process overlap, and
graphs leave the host so little to do that one process feeds many of them. Every cell is computed as by any worker, so
that locks, checkpoints and records are as ever, and one that diverges or fails ends alone.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from scs_study.config.schema import CellConfig
from scs_study.experiments.work import GridSource, Job, WorkSource, epochs_left, jobs_of
from scs_study.launch.run_job import run_job
from scs_study.models import not_converted
from scs_study.runs.context import RunContext
from scs_study.runs.lock import Heartbeats
from scs_study.runs.progress import Progress
from scs_study.runs.state import Outcome
from scs_study.training.cuda_stream import on_own_stream
from scs_study.training.stopping import Interrupted, StopRequest

_TICK = 0.2


def side_by_side(
    cells: Sequence[CellConfig], context: RunContext, count: int, deadline: float | None = None
) -> dict[str, Outcome]:
    """Return what became of every cell, by run name: `count` of them at a time, in this process. deadline: as `inline`.

    Only cells of the same numerics are computed at the same time: precision is a setting of the process. After an error
    that leaves CUDA unusable, which only the end of the process mends, no further cell is begun. Raises as `inline`.
    """
    for cell in cells:
        for each in (cell, cell.parent or cell):
            not_converted(each)  # traced now and remembered: tracing changes how every module of the process is called
        with contextlib.suppress(ValueError, OSError):  # each of the cells will say so itself
            context.images(cell.data)
    context = replace(context, settings=replace(context.settings, alone=count == 1, at_once=count))
    progress = Progress.start(cells, epochs_left(cells, context.runs))
    outcomes: dict[str, Outcome] = {}
    with StopRequest(deadline=deadline).listening() as stop:
        for numerics in dict.fromkeys(cell.train.numerics for cell in cells):
            jobs = [job for job in jobs_of(cells) if job.cell.train.numerics == numerics]
            source = GridSource(jobs, context.runs, progress)
            crew = _Crew(source, context, stop)
            _compute(crew, min(count, len(jobs)))
            outcomes |= source.outcomes
            if stop() and not stop.out_of_time:
                raise Interrupted("stopped")
            if crew.raised is not None:
                raise crew.raised
            if crew.broken:
                left = [job.cell.run_name for job in jobs if source.outcomes[job.cell.run_name].state == "busy"]
                outcomes |= dict.fromkeys(left, Outcome("failed", crew.broken))
    return outcomes


@dataclass
class _Crew:
    """What the threads share; `lock` guards all of it. broken: why no further cell is begun."""

    source: WorkSource
    context: RunContext
    stop: StopRequest
    lock: threading.Lock = field(default_factory=threading.Lock)
    broken: str = ""
    raised: BaseException | None = None


def _compute(crew: _Crew, count: int) -> None:
    threads = [threading.Thread(target=_worker_loop, args=(crew,), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            threads[0].join(_TICK)  # never for long: a signal is heard between two waits only
            threads.sort(key=threading.Thread.is_alive, reverse=True)
    except KeyboardInterrupt:
        raise Interrupted("stopped at once; the runs continue from their last checkpoints") from None


def _worker_loop(crew: _Crew) -> None:
    device, heartbeats = crew.context.settings.device, Heartbeats()
    try:
        with on_own_stream(device):
            while (job := _next(crew)) is not None:
                try:
                    outcome = run_job(job.cell, crew.context, crew.stop, partial(_report, crew, job), heartbeats)
                except Interrupted:
                    with crew.lock:
                        crew.source.requeue(job)
                    raise
                _finish(crew, job, outcome)
    except Interrupted:
        pass
    except BaseException as error:  # nobody waits for what a thread raises
        with crew.lock:
            crew.raised = crew.raised or error


def _next(crew: _Crew) -> Job | None:
    while True:
        with crew.lock:
            if crew.stop() or crew.broken or crew.raised is not None:
                return None
            if (job := crew.source.acquire(crew.stop)) is not None:
                return job
            if crew.source.exhausted():
                return None
        time.sleep(_TICK)


def _report(crew: _Crew, job: Job, line: dict[str, Any]) -> bool:
    with crew.lock:
        return crew.source.report(job, line)


def _finish(crew: _Crew, job: Job, outcome: Outcome) -> None:
    broken = outcome.state == "failed" and not _usable(crew.context.settings.device)
    with crew.lock:
        if broken and not crew.broken:
            crew.broken = (
                f"not begun: {job.cell.run_name} left CUDA unusable; the same command goes on in a new process"
            )
        crew.source.finish(job, outcome)


def _usable(device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    try:
        torch.zeros((), device=device).item()
    except RuntimeError:
        return False
    return True
