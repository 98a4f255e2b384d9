"""Where a study of Optuna is kept, who may join it, and how its workers take turns."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from scs_study.experiments.sweep.sampler import RoundedTPE, make_pruner
from scs_study.experiments.sweep.settings import OBJECTIVES, Sweep, shared_as_today
from scs_study.runs.lock import Busy, Heartbeats, acquire
from scs_study.system import files
from scs_study.training.stopping import Interrupted

SWEEPS = ".sweeps"
"""Folder of the studies' files, beside the runs."""
JOURNAL, PLACE, LOCK = "journal.log", "study.json", "turn"
SHARED, TOKEN, VERSION = "scs_study:shared", "scs_study:runs", "scs_study:optuna"
_POLL = 0.05


def check_url(url: str | None) -> None:
    """Raise ValueError in one sentence for a storage that is neither null nor PostgreSQL.

    SQLite is refused altogether: it locks with the file system's locks, many network disks have none that work, and
    Optuna's own documentation advises against it for parallel work.
    """
    if url is None:
        return
    kind = url.partition(":")[0]
    if kind.startswith("sqlite"):
        raise ValueError(
            f"storage={url}: never SQLite here, its locks fail on network disks and the study would be damaged; leave"
            " storage=null for a journal file, or give a postgresql:// URL"
        )
    if kind.partition("+")[0] not in ("postgresql", "postgres"):
        raise ValueError(f"storage={shown(url)}: must be null (a journal file beside the runs) or a postgresql:// URL")
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("storage: not a URL of the form postgresql://user@host:port/database") from None


def check_command_line(arguments: list[str]) -> None:
    """Raise ValueError when a storage with a password is among `arguments`, which every run records."""
    for argument in arguments:
        key, _, url = argument.partition("=")
        if key.lstrip("+") == "storage" and _password(url.strip("\"'")):
            raise ValueError(
                "storage: a password on the command line would be written into every run's provenance; put it into"
                " ~/.pgpass, or the whole URL into the environment variable SCS_SWEEP_STORAGE"
            )


def _password(url: str) -> bool:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # refused in a moment, with a sentence of its own
        return False
    return parsed.password is not None or "password" in parsed.query


def shown(url: str) -> str:
    """Return the URL without its password, for people."""
    return re.sub(r"://([^:@/]*):[^@]*@", r"://\1:***@", url)


def sqlalchemy_url(url: str) -> str:
    """Return the URL with psycopg 3 as its driver, whatever SQLAlchemy's own default is."""
    parsed = make_url(url)
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def study_folder(runs: Path, name: str) -> Path:
    """Return the folder of a study's own files. Raises ValueError for a name that is no folder name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"name={name}: letters, digits and . _ - only")
    if len(name) > files.LONGEST:
        raise ValueError(f"name={name[:40]}...: {len(name)} characters; {files.LONGEST} is the most")
    return runs / SWEEPS / name


class _Journal(JournalFileBackend):
    """Optuna's journal file, in which a line that was cut off (a full disk, a power cut) would end the study for good:
    the next one would be written behind it, and nobody could read the file any more. Here it is taken out.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file_lock = path, JournalFileSymlinkLock(str(path))
        super().__init__(str(path), self._file_lock)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append `logs` to the journal, all of them or, where the disk is full, none."""
        self._file_lock.acquire()
        try:
            files.append(self._path, "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode())
        finally:
            self._file_lock.release()


def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """Optuna's storage: the journal in `folder`, or the PostgreSQL at `url`. Raises ValueError in one sentence."""
    check_url(url)
    if url is None:
        folder.mkdir(parents=True, exist_ok=True)
        return JournalStorage(_Journal(folder / JOURNAL))
    try:
        # Connections that a server or a firewall has dropped during a long epoch are noticed and opened anew.
        return RDBStorage(sqlalchemy_url(url), engine_kwargs={"pool_pre_ping": True})
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ValueError(f"storage={shown(url)}: {cause}") from None


@contextmanager
def study_lock(folder: Path, stop: Callable[[], bool], heartbeats: Heartbeats) -> Iterator[None]:
    """Return a context that one process at a time is in, over all machines that share `folder`.

    The storages order single operations; taking a trial is several (count, take, draw), and must be one. A worker
    that dies in it frees it, by the rules of runs/lock.py. Raises Interrupted when `stop()` turns true while waiting.
    """
    (folder / LOCK).mkdir(parents=True, exist_ok=True)
    while True:
        try:
            lock = acquire(folder / LOCK, heartbeats)
            break
        except Busy:
            if stop():
                raise Interrupted("stopped while waiting for the study's lock") from None
            time.sleep(_POLL)
    try:
        yield
    finally:
        lock.release()


def join(
    sweep: Sweep, name: str, url: str | None, runs: Path, stop: Callable[[], bool], heartbeats: Heartbeats
) -> optuna.Study:
    """Return the study called `name`, made if it is not there yet.

    Raises ValueError in one sentence when it was made with other settings, or by workers with another runs folder.
    """
    folder = study_folder(runs, name)
    # Locked, because two processes must not create the tables of a database at once either.
    with study_lock(folder, stop, heartbeats):
        storage = open_storage(url, folder)
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=[OBJECTIVES[each] for each in sweep.objectives],
            sampler=RoundedTPE(sweep),
            pruner=make_pruner(sweep),
            load_if_exists=True,
        )
        known = study.user_attrs
        if TOKEN not in known:
            _found(study, sweep, folder)
        else:
            _check_place(name, known[TOKEN], folder)
            _check_shared(name, known[SHARED], sweep.shared())
    return study


def load(name: str, url: str | None, runs: Path) -> optuna.Study:
    """Return the study called `name`, to look at. Raises ValueError when there is none."""
    folder = study_folder(runs, name)
    missing = ValueError(f"there is no study {name} yet: run the sweep first")
    if url is None and not (folder / JOURNAL).exists():
        raise missing
    try:
        return optuna.load_study(study_name=name, storage=open_storage(url, folder))
    except KeyError:
        raise missing from None


def check_settings(study: optuna.Study, sweep: Sweep) -> None:
    """Raise ValueError in one sentence when the study was made with other settings than `sweep`'s."""
    _check_shared(study.study_name, study.user_attrs.get(SHARED, {}), sweep.shared())


def _found(study: optuna.Study, sweep: Sweep, folder: Path) -> None:
    token = str(uuid.uuid4())
    files.write_json(folder / PLACE, {"study": study.study_name, "runs": token})
    study.set_user_attr(VERSION, optuna.__version__)
    study.set_user_attr(SHARED, sweep.shared())
    study.set_user_attr(TOKEN, token)  # last: a study without it is not set up yet


def _check_place(name: str, token: str, folder: Path) -> None:
    path = folder / PLACE
    if not path.exists() or files.read_json(path).get("runs") != token:
        raise ValueError(
            f"study {name} belongs to another runs folder, and its workers must share one to see each other's trials:"
            " give runs=<that folder>, or name=<another study>"
        )


def _check_shared(name: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    theirs = shared_as_today(theirs)
    keys = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    if keys:
        words = ", ".join(f"{key} {theirs.get(key, 'unset')} (here {ours.get(key, 'unset')})" for key in keys)
        raise ValueError(
            f"study {name} was started with {words}: give this worker the same settings, or another name=<study>"
        )
