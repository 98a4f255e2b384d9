"""How a run is asked to stop: by signals, which are remembered until its next step, and by the clock."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from scs_study.system.console import interject

STOPPING = (signal.SIGTERM, signal.SIGINT)
WARNING = (signal.SIGUSR1, signal.SIGUSR2)
"""What SLURM sends before a time limit or a preemption; submitit listens to SIGUSR2."""


class Interrupted(Exception):
    """The run stopped because it was asked to; its checkpoint continues where it stopped."""


class StopRequest:
    """Whether this process is to stop at the next step: a signal has asked it to, or its time is up.

    After SIGTERM or SIGINT, another of them ends it at once, unless it is `patient`. deadline: on time.monotonic's
    clock.
    """

    def __init__(self, patient: bool = False, deadline: float | None = None) -> None:
        self.signal: int | None = None
        self.patient = patient
        self.deadline = deadline

    def __call__(self) -> bool:
        return self.signal is not None or self.out_of_time

    @property
    def out_of_time(self) -> bool:
        """Nobody asks for the end of the process: only the runs are to stop, and what follows them is due."""
        return self.signal is None and self.deadline is not None and time.monotonic() >= self.deadline

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            if number in STOPPING and self.signal in STOPPING and not self.patient:
                raise KeyboardInterrupt
            return
        self.signal = number
        again = "" if self.patient else " (again: stop at once)"
        interject(f"{signal.Signals(number).name}: writing a checkpoint, then stopping{again}")

    @contextmanager
    def listening(self, stopping: tuple[signal.Signals, ...] = STOPPING) -> Iterator[StopRequest]:
        """Return a context in which the signals are caught, those included that were held back until now
        (launch/start.sh); handlers and mask are put back afterwards.

        Whoever waited for SLURM's warning before (submitit, below Hydra's launcher) gets it then: it requeues the job.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self  # only the main thread can catch signals
            return
        before = {number: signal.signal(number, self._handle) for number in (*stopping, *WARNING)}
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, before)
        try:
            yield self
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for number, handler in before.items():
                signal.signal(number, handler)
            handler = before.get(signal.Signals(self.signal)) if self.signal in WARNING else None
            if self.signal is not None and callable(handler):
                handler(self.signal, None)
