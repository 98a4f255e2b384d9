"""The cells of a study on a SLURM cluster: one array of tasks, some cells in each, sent off with submitit."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scs_study.config.groups import OWN, own_folder
from scs_study.config.schema import CellConfig, whole
from scs_study.launch import slurm_task
from scs_study.launch.code_snapshot import CODE, LOGS, SlurmJob, Submission, covered, jobs_of, make_submission
from scs_study.launch.monitor import monitor_study
from scs_study.runs.context import RunContext
from scs_study.runs.state import Outcome
from scs_study.runs.stopped import is_stopped
from scs_study.runs.validate import is_complete
from scs_study.system.console import say

START = "scs_study/launch/start.sh"
ENDING = 60.0
"""Seconds after which a job that is ending counts as over: SLURM kills what does not end by itself."""

_LEAST = {"gpus": 0, "cpus": 1, "memory_gb": 1, "minutes": 1, "parallel": 1, "cells_per_task": 1, "at_once": 1,
          "warning_seconds": 0, "requeues": 0}  # fmt: skip


def submit(
    study: str, cells: Sequence[CellConfig], context: RunContext, launch: Mapping[str, Any], engine: Mapping[str, Any]
) -> tuple[Submission | None, list[str]]:
    """Return the submission of the cells that are neither done nor on their way already, and all job numbers of the
    study.

    Cells whose pretrained weights another job is computing are held back, with a sentence. None when nothing had to be
    sent. Raises ValueError in one sentence when there is no SLURM or it refuses.
    """
    check_cluster(launch, context.runs)
    names = {each.run_name for cell in cells for each in (cell, cell.parent) if each is not None}
    jobs = covered(context.runs, decided(lambda: jobs_of(context.runs, names)))
    numbers = [job.number for job in jobs]
    on_their_way = set().union(*jobs.values())
    wanted = [
        cell
        for cell in cells
        if cell.run_name not in on_their_way
        and not is_stopped(context.runs / cell.run_name)
        and not is_complete(context.runs, cell)
    ]
    ready = [cell for cell in wanted if cell.parent is None or cell.parent.run_name not in on_their_way]
    if len(ready) < len(wanted):
        waiting = f"{len(wanted) - len(ready)} cells start from weights that other jobs are computing"
        say(f"{waiting}: repeat the command after those")
    wanted = ready
    if not wanted:
        return None, numbers
    tasks = cells_of_tasks(wanted, int(launch["cells_per_task"]))
    settings = {**slurm_task.settings_of(context, launch, engine), "at_once": [launch["at_once"]] * len(tasks)}
    submission = make_submission(context.runs.resolve(), study, tasks, settings)
    return submission, numbers + send(submission, launch)


def check_cluster(launch: Mapping[str, Any], runs: Path) -> None:
    """Raise ValueError in one sentence when there is no SLURM here, or `launch` cannot be sent to one.

    The logs and the code snapshot of a task are below `runs`, whose name must mean the same to SLURM.
    """
    if shutil.which("sbatch") is None:
        raise ValueError("launch=slurm: there is no SLURM on this machine (sbatch is not on PATH)")
    if any(sign in str(runs.resolve()) for sign in ("\\", "%")):
        raise ValueError(
            f"runs={runs}: \\ and % have a meaning of their own for SLURM; launch=slurm needs another folder"
        )
    _options(launch["more"])
    for key, least in _LEAST.items():
        whole(f"launch.{key}", launch[key], least)
    if not isinstance(launch["setup"], Sequence) or isinstance(launch["setup"], str):
        raise ValueError(f'launch.setup={launch["setup"]}: must be a list of commands, such as ["module load cuda"]')
    if 60 * launch["minutes"] <= launch["warning_seconds"]:
        raise ValueError(
            f"launch.minutes={launch['minutes']}: a task would be warned launch.warning_seconds="
            f"{launch['warning_seconds']} before its end, which is before it starts"
        )


def cells_of_tasks(cells: Sequence[CellConfig], size: int) -> list[list[CellConfig]]:
    """Return the cells of every task, `size` of them or a few more.

    A cell that starts from the weights of another one that is still to be trained is in that one's task: in a task of
    its own it would have nothing to do for hours.
    """
    names = {cell.run_name for cell in cells}
    together: dict[str, list[CellConfig]] = {}
    for cell in cells:
        parent = cell.parent
        first = parent if parent is not None and parent.run_name in names else cell
        together.setdefault(first.run_name, []).append(cell)
    tasks: list[list[CellConfig]] = [[]]
    for members in together.values():
        if len(tasks[-1]) >= size:
            tasks.append([])
        tasks[-1] += members
    return tasks


def decided(look: Callable[[], list[SlurmJob]]) -> list[SlurmJob]:
    """Return the jobs that `look` finds, once SLURM has decided about those that are just ending.

    They may be over or queued again in a moment; sending their cells off once more would be too early, or too late.
    """
    deadline = time.monotonic() + ENDING
    while True:
        jobs = look()
        if all(job.state != "COMPLETING" for job in jobs) or time.monotonic() > deadline:
            return [job for job in jobs if job.state != "COMPLETING"]
        time.sleep(1.0)


def send(submission: Submission, launch: Mapping[str, Any]) -> list[str]:
    """Return the numbers of the jobs: one array, of which every task calls slurm_task.run.

    Raises ValueError in one sentence when SLURM refuses; nothing is left of the submission then.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    code = submission.folder / CODE
    python = f"sh {shlex.quote(str(code / START))} {launch['python'] or shlex.quote(sys.executable)}"
    executor = submitit.SlurmExecutor(folder=submission.folder / LOGS, python=python)
    more = {"partition": launch["partition"], "account": launch["account"], "qos": launch["qos"]}
    executor.update_parameters(
        job_name=submission.name,
        time=launch["minutes"],
        cpus_per_task=launch["cpus"],
        mem=f"{launch['memory_gb']}GB",
        array_parallelism=launch["parallel"],
        signal_delay_s=launch["warning_seconds"],
        stderr_to_stdout=True,
        # The code snapshot, before whatever is installed; python -m looks in the working folder first of all.
        setup=[*launch["setup"], *exports(code), f"cd {shlex.quote(str(code))}"],
        additional_parameters={"requeue": True, **_options(launch["more"])},
        **({"gpus_per_node": launch["gpus"]} if launch["gpus"] else {}),
        **{key: value for key, value in more.items() if value is not None},
    )
    count = len(submission.tasks)
    try:
        jobs = executor.map_array(slurm_task.run, [str(submission.folder)] * count, range(count))
    except FailedJobError as error:
        reason = [line for line in str(error).splitlines() if line.strip()]
        shutil.rmtree(submission.folder)
        raise ValueError(f"launch=slurm: SLURM refused the jobs: {reason[-1] if reason else error}") from None
    return [job.job_id for job in jobs]


def exports(code: Path) -> list[str]:
    """Return the shell's lines after which a task finds the snapshot `code`, and the user's own modules and choices.

    Those are not copied: what a cell says of their source is compared when it begins.
    """
    folder, places = own_folder(), [str(code)]
    if folder is not None:
        places += [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), os.getcwd()]
    lines = [f"export PYTHONPATH={shlex.quote(os.pathsep.join(places))}"]
    return lines if folder is None else [*lines, f"export {OWN}={shlex.quote(str(folder))}"]


def _options(more: Sequence[str]) -> dict[str, Any]:
    """sbatch's long options as submitit wants them: by name, true where they have no value."""
    found: dict[str, Any] = {}
    for option in more:
        name, equals, value = option.partition("=")
        if not name.startswith("--"):
            raise ValueError(f"launch.more: {option} must be a long option of sbatch, such as --constraint=h100")
        found[name.removeprefix("--")] = value if equals else True
    return found


def slurm(
    study: str, cells: Sequence[CellConfig], context: RunContext, launch: Mapping[str, Any], engine: Mapping[str, Any]
) -> dict[str, Outcome] | None:
    """Return what became of every cell, by run name; None at once after submission where launch.detach says so.

    Raises as `submit`; stopping.Interrupted when the waiting was interrupted: the jobs go on.
    """
    submission, numbers = submit(study, cells, context, launch, engine)
    if submission is not None:
        tasks = len(submission.tasks)
        count = sum(len(task) for task in submission.tasks)
        say(f"{count} cells in {tasks} tasks; logs in {submission.folder / LOGS}")
    if numbers:
        say(f"SLURM jobs: {' '.join(numbers)}")
    return None if launch["detach"] else monitor_study(study, cells, context.runs)
