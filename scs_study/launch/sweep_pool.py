"""The workers of a sweep on this machine: one in this process, or several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import optuna
import torch

from scs_study.experiments.sweep.scheduler import Desk
from scs_study.experiments.sweep.settings import Sweep
from scs_study.experiments.sweep.storage import join
from scs_study.experiments.sweep.worker import work
from scs_study.launch.worker import BLOCKED
from scs_study.runs.context import Workplace
from scs_study.runs.lock import Watch
from scs_study.system.console import say
from scs_study.training.process import prepare_process
from scs_study.training.run import Settings
from scs_study.training.stopping import Interrupted, StopRequest

INTERRUPTED = 130


@dataclass(frozen=True)
class Job:
    """What a worker needs to know; it can be sent to another process. url: of the storage, None for the journal."""

    sweep: Sweep
    name: str
    url: str | None
    runs: Path
    settings: Settings
    data_root: Path | None
    data_cache: Path
    retry_failed: bool


def run_workers(job: Job, workers: int) -> str | None:
    """None once no trial is left, or a sentence when worker processes died and left some to the next start.

    Errors: ValueError in one sentence for settings that the study was not made with; stopping.Interrupted after
    SIGTERM or SIGINT, with nothing lost.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with StopRequest().listening() as stop:
        desk = _desk(job, stop)
        again = desk.retry_failed() if job.retry_failed else 0
        if again:
            say(f"{again} trials that failed before are tried again")
        place, cell = workplace(job), job.sweep.cell(job.sweep.low, job.sweep.seeds[0])
        place.images(cell.data, download=True)
        place.check_batches([cell])
        if workers > 1:
            return _processes(job, workers, stop)
        try:
            work(desk, workplace(job), say)
        except KeyboardInterrupt:
            raise Interrupted("stopped at once") from None
        return None


def _processes(job: Job, workers: int, stop: StopRequest) -> str | None:
    context = multiprocessing.get_context("forkserver")  # forked from here they could not use CUDA
    context.set_forkserver_preload([__name__])  # torch takes seconds to import: once, not for every worker
    threads = torch.get_num_threads()  # of each, as of a single worker: the last bits of a result depend on it
    jobs = [replace(job, settings=replace(job.settings, device=_device(job.settings, k))) for k in range(workers)]
    # Says nothing; its end tells the workers that this process is gone. Their own parent is the fork server.
    pipes = [context.Pipe() for _ in jobs]
    children = [
        context.Process(target=_child, args=(each, threads, k, theirs))
        for k, (each, (_, theirs)) in enumerate(zip(jobs, pipes, strict=True), start=1)
    ]
    # Held back until they listen; the fork server, which only forks, never gets them (SLURM signals all of a task).
    before = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    try:
        for child, (_, theirs) in zip(children, pipes, strict=True):
            child.start()
            theirs.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    told = False
    try:
        while any(child.is_alive() for child in children):
            if stop() and not told:
                told = True
                for child in children:
                    child.terminate()  # SIGTERM: a checkpoint, then the end
            time.sleep(0.2)
    except KeyboardInterrupt:  # asked a second time: their last checkpoints must do
        for child in children:
            child.kill()
        raise Interrupted("stopped at once") from None
    finally:
        for ours, _ in pipes:
            ours.close()
    if stop():
        raise Interrupted("stopped")
    dead = [child for child in children if child.exitcode != 0]
    if not dead:
        return None
    codes = ", ".join(str(child.exitcode) for child in dead)
    return f"{len(dead)} of {workers} workers died (exit status {codes})"


def _child(job: Job, threads: int, number: int, parent: Connection) -> None:
    os.setpgrp()  # Ctrl-C reaches the parent alone, which passes it on: twice would mean "at once"
    prepare_process()
    torch.set_num_threads(threads)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        # Patient: SLURM signals all processes of a task, and then the parent passes the same on.
        with StopRequest(patient=True).listening() as request:

            def stop() -> bool:
                return request() or parent.poll()  # it never sends: what can be read is its end

            work(_desk(job, stop), workplace(job), lambda text: say(f"[worker {number}] {text}"))
    except Interrupted:
        sys.exit(INTERRUPTED)


def _desk(job: Job, stop: Callable[[], bool]) -> Desk:
    watch: Watch = {}
    return Desk(join(job.sweep, job.name, job.url, job.runs, stop, watch), job.sweep, job.runs, stop, watch)


def workplace(job: Job) -> Workplace:
    """Where the job's runs are computed."""
    return Workplace(job.runs, job.settings, job.data_root, job.data_cache)


def _device(settings: Settings, number: int) -> torch.device:
    """The workers take this machine's GPUs in turn, unless the user has chosen one."""
    if settings.device.type == "cuda" and settings.device.index is None:
        return torch.device("cuda", number % torch.cuda.device_count())
    return settings.device
