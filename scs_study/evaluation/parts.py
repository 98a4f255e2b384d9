"""Evaluations of finished runs, in parts: what is cached is not computed again, what is missing is, part by part."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from scs_study.runs.lock import Busy, RunLock, acquire
from scs_study.runs.progress import QUIET, duration
from scs_study.system.console import fitted, say
from scs_study.training.stopping import Interrupted, StopRequest


@dataclass(frozen=True)
class Part:
    """A part of an evaluation of one run.

    kind: what it is a part of ("measures", "pgd"). title: it in words, for progress. work: what it costs, in passes of
    one image through a network, roughly. compute: computes and caches it, and returns a few words about the result;
    None where it is cached already.
    """

    kind: str
    title: str
    work: float
    compute: Callable[[], str] | None


class Evaluation(Protocol):
    """What is computed on one finished run.

    folder: where its results are cached, below the run's. check: called between passes; it raises to stop.
    """

    folder: Path
    check: Callable[[], None]

    def work(self) -> float:
        """Return the work of all parts, cached ones included, at most."""
        ...

    def parts(self) -> Iterator[Part]:
        """Yield the parts in their order; each is computed before the next is asked for, which may depend on it.

        Raises:
            ValueError: in one sentence, when the run cannot be evaluated.
        """
        ...


Report = Callable[[str, Part], None]
"""Called with a run's name and a part of it that is done."""


def evaluate(name: str, evaluations: Mapping[str, Evaluation], report: Report = lambda run, part: None) -> list[str]:
    """Compute what is missing of the evaluations, by run name, and return a message for each run that has a problem.

    name: the evaluation's, for messages. Where a folder can be written to, it is locked, so that two processes do not
    compute the same.

    Raises:
        Interrupted: after a signal; what was computed until then is cached.
    """
    problems = []
    progress = Progress(len(evaluations), sum(each.work() for each in evaluations.values()))
    with StopRequest().listening() as stop:

        def check() -> None:
            if stop():
                raise Interrupted(f"the {name} analysis goes on from here when the same command is given again")

        for number, (run, evaluation) in enumerate(evaluations.items(), start=1):
            evaluation.check = check
            try:
                with _locked(evaluation.folder):
                    for part in compute_parts(evaluation):
                        progress.report(number, run, part)
                        report(run, part)
            except Busy:
                problems.append(f"{run}: another process is at it")
            except ValueError as error:
                problems.append(str(error))
    return problems


def compute_parts(evaluation: Evaluation) -> Iterator[Part]:
    """Yield each part of an evaluation as soon as it is done; the title of a fresh one ends with its result."""
    for part in evaluation.parts():
        if part.compute is None:
            yield part
        else:
            evaluation.check()
            words = part.compute()
            yield Part(part.kind, f"{part.title}, {words}" if words else part.title, part.work, part.compute)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Return a context with the right to write in an evaluation's folder. Raises Busy.

    Where nothing can be written, nobody else writes either as far as we can tell, and it needs no right.
    """
    lock: RunLock | None = None
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        lock = acquire(folder)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


@dataclass
class Progress:
    """Prints which run and part of how many, and the time left, by the work that each part may take."""

    total: int
    left: float
    _done: float = 0.0
    _seconds: float = 0.0
    _printed: float = 0.0
    _last: float = field(default_factory=time.monotonic)

    def report(self, number: int, run: str, part: Part) -> None:
        """Take a part's work off what is left, and print it at most every QUIET seconds."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        self.left = max(self.left - part.work, 0.0)
        if part.compute is None:
            return
        self._done, self._seconds = self._done + part.work, self._seconds + seconds
        if now - self._printed < QUIET or not self._done:
            return
        self._printed = now
        left = duration(self.left * self._seconds / self._done)
        tails = f"  {part.title}  left about {left}", f"  left {left}"
        say(fitted(f"[{number}/{self.total}] ", run, *tails))
