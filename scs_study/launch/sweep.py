"""A sweep on a SLURM cluster: one array of tasks on the same study, and where its trials stand."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from scs_study.experiments.sweep import storage
from scs_study.experiments.sweep.sampler import RETRY_OF
from scs_study.experiments.sweep.source import SweepPlan
from scs_study.launch.code_snapshot import LOGS, SlurmJob, live_jobs, make_submission
from scs_study.launch.monitor import monitor
from scs_study.launch.slurm import check_cluster, decided, send
from scs_study.launch.slurm_task import URL, settings_of
from scs_study.runs.context import RunContext
from scs_study.system.console import say


def label(name: str) -> str:
    """Return what the jobs of the sweep's study `name` are called, in place of a study of cells."""
    return f"sweep_{name}"


def submit_sweep(
    plan: SweepPlan, workers: int, context: RunContext, launch: Mapping[str, Any], engine: Mapping[str, Any]
) -> list[str]:
    """Return the numbers of the jobs that are on their way, sent off now unless there are some already.

    Of `workers` trials at the same time, launch.at_once share a task. The study is made here, so that settings that do
    not fit are refused before anything waits in a queue. Raises ValueError in one sentence.
    """
    check_cluster(launch, context.runs)
    storage.join(plan.sweep, plan.name, plan.url, context.runs, lambda: False, {})
    jobs = decided(lambda: live_jobs(context.runs, label(plan.name)))
    if jobs:
        return [job.number for job in jobs]
    at_once = int(launch["at_once"])
    settings = {
        **settings_of(context, launch, engine),
        "sweep": dataclasses.asdict(plan.sweep),
        "name": plan.name,
        "url": None if plan.url == os.environ.get(URL) else plan.url,
        "at_once": [min(at_once, workers - first) for first in range(0, workers, at_once)],
    }
    tasks: list[list[Any]] = [[] for _ in settings["at_once"]]  # whose trials are whose is decided on the way
    submission = make_submission(context.runs.resolve(), label(plan.name), tasks, settings)
    say(f"{workers} workers in {len(tasks)} tasks; logs in {submission.folder / LOGS}")
    return send(submission, launch)


def monitor_sweep(name: str, url: str | None, runs: Path) -> None:
    """Print what changes until SLURM has no job of the sweep's study any more. Raises as `monitor`."""

    def look(jobs: list[SlurmJob] | None) -> tuple[str, bool]:
        return summary(name, url, runs, jobs), jobs is not None and not jobs

    monitor(lambda: live_jobs(runs, label(name)), look, f"the jobs of {name} go on")


def status(name: str, url: str | None, runs: Path) -> str:
    """Return where the sweep's trials stand, then a line for each of its jobs, or a sentence when SLURM is silent."""
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
    """Return how many trials of the study have begun or wait and have no end; with `total`, those not begun too."""
    trials = storage.load(name, url, runs).get_trials(deepcopy=False)
    begun = sum(RETRY_OF not in trial.user_attrs for trial in trials)
    return max(0, total - begun) + sum(trial.state in (TrialState.RUNNING, TrialState.WAITING) for trial in trials)


def summary(name: str, url: str | None, runs: Path, jobs: list[SlurmJob] | None) -> str:
    """Return one line: how many trials are in which state, and how many jobs."""
    trials = Counter(trial.state.name.lower() for trial in storage.load(name, url, runs).get_trials(deepcopy=False))
    kinds = Counter(job.state.lower() for job in jobs or ())
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    return (
        f"{name}: trials: {', '.join(f'{count} {state}' for state, count in sorted(trials.items())) or 'none yet'}; "
        f"jobs: {listed if jobs is not None else 'SLURM does not answer'}"
    )
