"""What runs in a task of the cluster: cells of a study or trials of a sweep, by a pool of processes on its devices."""

from __future__ import annotations

import os
import signal
import subprocess
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scs_study.experiments.work import WorkSource
from scs_study.launch.code_snapshot import Submission, load
from scs_study.launch.pool import grid_source, run_pool
from scs_study.launch.pool_size import PoolSize, pool_of_runs
from scs_study.launch.threads import thread_count
from scs_study.runs.context import RunContext, pick_device
from scs_study.runs.lock import STALE
from scs_study.system.console import say
from scs_study.training.run import Settings
from scs_study.training.stopping import WARNING, Interrupted

URL = "SCS_SWEEP_STORAGE"
"""The environment variable with the URL of a sweep's storage. It may hold a password, and no file does."""
WAIT_TIMEOUT = 2 * STALE
"""Seconds after which a task no longer waits for runs of others: by then a dead one was taken over."""
ATTEMPTS = 3
"""How often a task begins anew when a storage or a disk that is away for a moment ends its pool."""


def run(folder: str, index: int) -> None:
    """Compute what task `index` of the submission in `folder` is for.

    When SLURM warns of a time limit or a preemption, the runs write checkpoints and the task asks to be queued again.
    """
    requeue_by_ourselves()
    submission = load(Path(folder))
    settings = submission.settings
    context = context_of(settings)
    size = pool_of_runs(
        context.settings.device, context.settings.engine, settings["at_once"][index], settings["threads"]
    )
    each = f", {size.side_by_side} runs in each," if size.side_by_side > 1 else ""
    say(f"{submission.name}, task {index}: {size.workers} workers{each} on {context.settings.device}")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            run_pool(_source(submission, index, context, size), context, size)
            return
        except Interrupted:
            say(queue_again(settings["requeues"]))
            return
        except Exception:  # never of a run: those are recorded in its folder
            if attempt == ATTEMPTS:
                raise
            say(f"{traceback.format_exc()}the task begins anew")


def _source(submission: Submission, index: int, context: RunContext, size: PoolSize) -> WorkSource:
    """Return the task's cells, or the trials that all tasks share."""
    settings = submission.settings
    if "sweep" not in settings:
        return grid_source(submission.tasks[index], context, size, WAIT_TIMEOUT)
    # Imported here: Optuna takes a while, for this alone.
    from scs_study.experiments.sweep.settings import sweep_from
    from scs_study.experiments.sweep.source import SweepPlan, SweepSource

    plan = SweepPlan(sweep_from(settings["sweep"]), settings["name"], settings["url"] or os.environ.get(URL))
    return SweepSource.of(plan, context.runs, context.retry_failed)


def settings_of(context: RunContext, launch: Mapping[str, Any], engine: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every task of a submission gets, for a JSON file; `context_of` reads it on the node.

    Raises ValueError in one sentence for a device that no node would have, and for more runs than a GPU has streams.
    """
    if str(engine["device"]).startswith("cuda") and not launch["gpus"]:
        raise ValueError(f"engine.device={engine['device']}: a task has no GPU with launch.gpus=0")
    if launch["gpus"] and engine["name"] == "graphed":
        thread_count("launch.at_once on each GPU", max(1, launch["at_once"] // launch["gpus"]))
    return {
        "runs": str(context.runs.resolve()),
        "data_root": str(context.data_root.resolve()) if context.data_root else None,
        "data_cache": str(context.data_cache.resolve()),
        "retry_failed": context.retry_failed,
        "device": engine["device"],
        "engine": engine["name"],
        "threads": engine["threads"],
        "checkpoint_every": engine["checkpoint_every"],
        "kernels": engine["kernels"],
        "requeues": launch["requeues"],
    }


def context_of(settings: Mapping[str, Any]) -> RunContext:
    """Return where the task works, on a device of this node. Raises ValueError when the node has none such."""
    device = pick_device(settings["device"])
    return RunContext(
        runs=Path(settings["runs"]),
        settings=Settings(device, settings["engine"], settings["checkpoint_every"], kernels=settings["kernels"]),
        data_root=Path(settings["data_root"]) if settings["data_root"] else None,
        data_cache=Path(settings["data_cache"]),
        retry_failed=settings["retry_failed"],
    )


def requeue_by_ourselves() -> None:
    """Keep the warning from submitit, which would requeue in the middle of a step: the runs are to stop first."""
    for number in WARNING:
        # Not SIG_IGN: it would throw away a warning that has come already, and is held back until somebody listens
        # (launch/start.sh).
        signal.signal(number, lambda *_: None)


def own_number() -> str | None:
    """SLURM's number of this task and no other, None outside of SLURM.

    Of one task of an array, SLURM_JOB_ID is the number of the whole array: requeueing that would restart them all.
    """
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ.get("SLURM_JOB_ID")


def queue_again(limit: int) -> str:
    """Return a sentence. The task is queued again if SLURM says it is running, so not after scancel or scontrol
    requeue.
    """
    starts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    number = own_number()
    if number is None:
        return "stopped"
    if starts >= limit:
        return f"stopped; not queued again after {starts} restarts (launch.requeues): repeat `make replicate` to go on"
    try:
        asked = subprocess.run(["squeue", "-h", "-j", number, "-o", "%T"], capture_output=True, text=True, timeout=20)
        state = asked.stdout.strip()
        if state != "RUNNING":
            return f"stopped; SLURM says {state or 'nothing'}, so the job is left to it"
        answer = subprocess.run(["scontrol", "requeue", number], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"stopped; it could not be queued again: {error}"
    if answer.returncode:
        return f"stopped; it could not be queued again: {answer.stderr.strip()}"
    return f"stopped, and queued again (restart {starts + 1})"
