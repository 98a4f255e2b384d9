"""How a run is asked to stop: by signals, which are remembered until its next step."""

from __future__ import annotations

import signal
import threading
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
    """Whether a signal has asked this process to stop at the next step.

    After SIGTERM or SIGINT, another of them ends it at once, unless it is `patient`.
    """

    def __init__(self, patient: bool = False) -> None:
        self.signal: int | None = None
        self.patient = patient

    def __call__(self) -> bool:
        return self.signal is not None

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
