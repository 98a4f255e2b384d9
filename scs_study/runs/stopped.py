"""A run that somebody stopped stays stopped, whoever works on the study, until somebody lets it go on."""

from __future__ import annotations

import time
from pathlib import Path

from scs_study.system import files

STOP = "stop.json"
"""The file in a run's folder that says so."""
STOPPED = "stopped"
"""The state of such a run, and what becomes of its cell."""
MESSAGE = "somebody stopped it; make runs with resume=true lets it go on"
_EVERY = 0.5
"""Seconds between two looks at the disk."""


def stop_run(folder: Path) -> None:
    """Stop a run: who works on it writes a checkpoint and leaves it, and nobody begins it."""
    files.write_json(folder / STOP, {"stopped": time.time()})


def resume_run(folder: Path) -> None:
    """Let a stopped run go on with the next command that has its cell."""
    (folder / STOP).unlink(missing_ok=True)


def is_stopped(folder: Path) -> bool:
    """Return whether somebody stopped the run."""
    return (folder / STOP).exists()


class StopFile:
    """Whether somebody has stopped a run that is being computed: asked at every step, looked up now and then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._looked = 0.0
        self._found = False

    def __call__(self) -> bool:
        if not self._found and time.monotonic() - self._looked > _EVERY:
            self._looked = time.monotonic()
            self._found = is_stopped(self._folder)
        return self._found
