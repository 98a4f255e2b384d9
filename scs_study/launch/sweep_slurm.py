"""A sweep's workers on a SLURM cluster: one array of tasks on the same study, sent off like a study's cells."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from optuna.trial import TrialState

from scs_study.experiments.sweep import storage
from scs_study.experiments.sweep.sampler import RETRY_OF
from scs_study.experiments.sweep.settings import Sweep
from scs_study.launch.code_snapshot import LOGS, Job, freeze, live_jobs, load
from scs_study.launch.monitor import POLL
from scs_study.launch.pool import DEATHS
from scs_study.launch.slurm import check_cluster, decided, send
from scs_study.launch.slurm_task import queue_again, requeue_by_ourselves, settings_of, workplace_of
from scs_study.launch.sweep_pool import Job as Work
from scs_study.launch.sweep_pool import run_workers, workplace
from scs_study.system.console import say
from scs_study.training.stopping import Interrupted, StopRequest

URL = "SCS_SWEEP_STORAGE"
"""The environment variable with the storage's URL. It may hold a password, and no file does."""


def label(name: str) -> str:
    """What the jobs of the sweep's study `name` are called, in place of a study of cells."""
    return f"sweep_{name}"


def submit(work: Work, workers: int, launch: Mapping[str, Any], engine: Mapping[str, Any]) -> list[str]:
    """The numbers of the jobs that are on their way, sent off now unless there are some already.

    Of `workers` processes, launch.at_once share a task. The study is made here, so that settings that do not fit are
    refused before anything waits in a queue. Errors: ValueError in one sentence.
    """
    check_cluster(launch, work.runs)
    storage.join(work.sweep, work.name, work.url, work.runs, lambda: False, {})
    jobs = decided(lambda: live_jobs(work.runs, label(work.name)))
    if jobs:
        return [job.number for job in jobs]
    at_once = int(launch["at_once"])
    settings = {
        **settings_of(dataclasses.replace(workplace(work), retry_failed=work.retry_failed), launch, engine),
        "sweep": dataclasses.asdict(work.sweep),
        "name": work.name,
        "url": None if work.url == os.environ.get(URL) else work.url,
        "workers": [min(at_once, workers - first) for first in range(0, workers, at_once)],
    }
    packs: list[list[Any]] = [[] for _ in settings["workers"]]  # whose trials are whose is decided on the way
    submission = freeze(work.runs.resolve(), label(work.name), packs, settings)
    say(f"{workers} workers in {len(packs)} tasks; logs in {submission.folder / LOGS}")
    return send(submission, launch, run)


def run(folder: str, index: int) -> None:
    """None, once no trial is left or the task asks to be queued again: task `index` of the submission in `folder`."""
    requeue_by_ourselves()
    submission = load(Path(folder))
    settings = submission.settings
    torch.set_num_threads(settings["threads"] or 1)
    place = workplace_of(settings)
    work = Work(
        sweep=Sweep(**{**settings["sweep"], "seeds": tuple(settings["sweep"]["seeds"])}),
        name=settings["name"],
        url=settings["url"] or os.environ.get(URL),
        runs=place.runs,
        settings=place.settings,
        data_root=place.data_root,
        data_cache=place.data_cache,
        retry_failed=place.retry_failed,
    )
    workers = settings["workers"][index]
    say(f"{submission.name}, task {index}: {workers} workers on {work.settings.device}")
    try:
        for _ in range(DEATHS):  # its workers may all have died, and their trials are taken up again
            died = run_workers(work, workers)
            if died is None:
                return
            say(died)
    except Interrupted:
        say(queue_again(settings["requeues"]))


def follow(name: str, url: str | None, runs: Path) -> None:
    """None, once SLURM has no job of the sweep's study any more. Prints what changes.

    Errors: stopping.Interrupted after SIGTERM or SIGINT; the jobs go on.
    """
    told = ""
    with StopRequest().listening() as stop:
        while True:
            jobs: list[Job] | None = None
            with contextlib.suppress(ValueError):  # a controller that restarts; the jobs go on without it
                jobs = live_jobs(runs, label(name))
            if (words := summary(name, url, runs, jobs)) != told:
                say(told := words)
            if jobs is not None and not jobs:
                return
            for _ in range(int(POLL / 0.1)):
                if stop():
                    raise Interrupted(f"no longer waiting; the jobs of {name} go on")
                time.sleep(0.1)


def status(name: str, url: str | None, runs: Path) -> str:
    """Where the sweep's trials stand, then a line for each of its jobs, or a sentence when SLURM is silent."""
    try:
        jobs = live_jobs(runs, label(name))
    except ValueError as error:
        return f"{summary(name, url, runs, None)}\n{error}"
    return "\n".join(
        [
            summary(name, url, runs, jobs),
            *(f"SLURM job {job.number}: {job.state.lower()} {job.reason}" for job in jobs),
        ]
    )


def unfinished(name: str, url: str | None, runs: Path, total: int = 0) -> int:
    """How many trials of the study have begun or wait, and have no end; with `total`, those of it not begun too."""
    trials = storage.load(name, url, runs).get_trials(deepcopy=False)
    begun = sum(RETRY_OF not in trial.user_attrs for trial in trials)
    return max(0, total - begun) + sum(trial.state in (TrialState.RUNNING, TrialState.WAITING) for trial in trials)


def summary(name: str, url: str | None, runs: Path, jobs: list[Job] | None) -> str:
    """One line: how many trials are in which state, and how many jobs."""
    trials = Counter(trial.state.name.lower() for trial in storage.load(name, url, runs).get_trials(deepcopy=False))
    kinds = Counter(job.state.lower() for job in jobs or ())
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    return (
        f"{name}: trials: {', '.join(f'{count} {state}' for state, count in sorted(trials.items())) or 'none yet'}; "
        f"jobs: {said if jobs is not None else 'SLURM does not answer'}"
    )
