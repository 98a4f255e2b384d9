"""What was sent to the cluster: cells, settings and a snapshot of the code, and which of its jobs SLURM still knows.

A submission's name is also the name of its SLURM jobs, so its jobs are found again by whoever looks, even if the
process that submitted them died before it could write down their numbers.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scs_study.config.schema import CellConfig, cell_from_dict
from scs_study.runs.git_info import SNAPSHOT, git_state
from scs_study.system import files
from scs_study.system.places import CODE as HERE
from scs_study.system.places import CONF, INSTALLED, PACKAGE

SUBMISSIONS = ".submissions"
"""Folder of the submissions, beside the runs."""
_SUBMISSION, _CELLS, CODE, LOGS = "submission.json", "cells.json", "code", "logs"


@dataclass(frozen=True)
class Submission:
    """tasks: the cells of every task. settings: what a task needs to know, as JSON (launch/slurm_task.py)."""

    folder: Path
    study: str
    tasks: tuple[tuple[CellConfig, ...], ...]
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its folder's name, and its jobs'."""
        return self.folder.name


@dataclass(frozen=True)
class SlurmJob:
    """One task that SLURM has: its number (array_task), its index in its submission, its state and why it waits."""

    number: str
    submission: str
    index: int
    state: str
    reason: str


def make_submission(
    runs: Path, study: str, tasks: Sequence[Sequence[CellConfig]], settings: Mapping[str, Any]
) -> Submission:
    """Return a new submission with a copy of this code and its configs, which its tasks use whatever changes later."""
    while True:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        folder = runs / SUBMISSIONS / f"scs-{_short(study)}-{stamp}-{secrets.token_hex(3)}"
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:  # another study started in the same second, and drew the same number
            continue
    for part in (PACKAGE,) if INSTALLED else (PACKAGE, CONF):
        _copy(part, folder / CODE / part.name)
    files.write_json(folder / CODE / SNAPSHOT, git_state(HERE))
    files.write_json(folder / _CELLS, [[cell.identity() for cell in task] for task in tasks])
    names = [[cell.run_name for cell in task] for task in tasks]
    files.write_json(folder / _SUBMISSION, {"study": study, "settings": dict(settings), "runs": names})
    (folder / LOGS).mkdir()
    return Submission(folder, study, tuple(tuple(task) for task in tasks), settings)


def _copy(source: Path, target: Path) -> None:
    # Not shutil.copytree: of a read-only checkout it would make a copy that nobody can remove.
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            _copy(path, target / path.name)
        elif path.is_file() and path.suffix != ".pyc":
            shutil.copyfile(path, target / path.name)


def load(folder: Path) -> Submission:
    """Return the submission in a folder. Raises FileNotFoundError, ValueError when it is damaged or incomplete."""
    about = files.read_json(folder / _SUBMISSION)
    tasks = tuple(tuple(cell_from_dict(values) for values in task) for task in files.read_json(folder / _CELLS))
    return Submission(folder, about["study"], tasks, about["settings"])


def submissions(runs: Path, study: str | None = None) -> dict[str, Path]:
    """Return the folders of all submissions of these runs (of one study, or of all), by name."""
    home = runs / SUBMISSIONS
    known = {path.name: path for path in sorted(home.iterdir()) if path.is_dir()} if home.is_dir() else {}
    wanted = study and _short(study)
    return {name: path for name, path in known.items() if wanted in (None, name.rsplit("-", 3)[0].removeprefix("scs-"))}


def _short(study: str) -> str:
    return files.shortened(study, 100)  # a job's name is shown in one line


def live_jobs(runs: Path, study: str | None = None) -> list[SlurmJob]:
    """Return the jobs of the submissions (of one study, or of all) that SLURM has not finished yet.

    Raises ValueError in one sentence when SLURM does not answer.
    """
    known = submissions(runs, study)
    if not known:
        return []
    jobs = []
    for line in _squeue(",".join(sorted(known))).splitlines():
        number, index, state, reason, name = line.split("|", 4)
        if name in known:  # and no one else's, whatever their numbers
            jobs.append(SlurmJob(number, name, int(index) if index.isdigit() else 0, state, reason))
    return jobs


def _squeue(names: str) -> str:
    command = ["squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%K|%T|%r|%j", f"--name={names}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise ValueError("there is no SLURM on this machine (squeue is not on PATH)") from None
    except subprocess.TimeoutExpired:
        raise ValueError("SLURM does not answer (squeue took more than 60 s)") from None
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["no message"])[0]
        raise ValueError(f"SLURM does not answer: {reason}")
    return answer.stdout


def covered(runs: Path, jobs: Sequence[SlurmJob]) -> dict[SlurmJob, set[str]]:
    """Return the names of the runs that each of these jobs will compute or is computing."""
    folders = submissions(runs)
    names = {name: _names(folders[name]) for name in {job.submission for job in jobs}}
    return {job: set(names[job.submission][job.index]) for job in jobs}


def _names(folder: Path) -> Mapping[int, Sequence[str]]:
    """The run names of every task; of none where the submission cannot be read: its tasks cannot either.

    They are read as they were written: another version of this project may give its cells other names by now.
    """
    try:
        tasks = [[str(name) for name in task] for task in files.read_json(folder / _SUBMISSION)["runs"]]
    except (OSError, ValueError, LookupError, TypeError):
        tasks = []
    return defaultdict(tuple, enumerate(tasks))


def jobs_of(runs: Path, names: Collection[str]) -> list[SlurmJob]:
    """Return the jobs that have one of the named runs to compute, whichever study sent them. Raises as `live_jobs`."""
    return [job for job, runs_of in covered(runs, live_jobs(runs)).items() if not runs_of.isdisjoint(names)]


def cancel(runs: Path, study: str) -> list[str]:
    """Return the numbers of the jobs that were cancelled: all that this study's submissions still have, and no other.

    Runs that were in progress write a checkpoint and are "interrupted". Raises ValueError when SLURM refuses.
    """
    numbers = [job.number for job in live_jobs(runs, study)]
    for start in range(0, len(numbers), 500):
        command = ["scancel", *numbers[start : start + 500]]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if answer.returncode:
            raise ValueError(f"scancel: {answer.stderr.strip()}")
    return numbers
