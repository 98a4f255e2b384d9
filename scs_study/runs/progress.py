"""What a user sees while a study runs: which cell of how many, epoch, accuracy or what else is judged, time left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scs_study.config.schema import CellConfig
from scs_study.system import console

QUIET = 10.0
"""Seconds between two lines of the same run where lines cannot be rewritten (a log file, a CI page)."""


@dataclass
class Progress:
    """Prints a study's progress on standard output; on a terminal the current run keeps one line that is rewritten."""

    total: int
    _left: int
    _done: int = 0
    _started: float = 0.0
    _printed: float = 0.0
    _width: int = 0

    @staticmethod
    def start(cells: Sequence[CellConfig], epochs_left: int) -> Progress:
        """Progress over `cells`, of which `epochs_left` epochs are still to compute."""
        return Progress(len(cells), epochs_left, _started=time.monotonic())

    def epoch(self, number: int, cell: CellConfig, line: dict[str, Any]) -> None:
        """Say that cell `number` (from 1) has completed the epoch that history `line` records."""
        self._left, self._done = max(self._left - 1, 0), self._done + 1
        seconds = (time.monotonic() - self._started) / self._done
        *_, primary = (key for key in line if key.startswith("test_"))  # the last of what is tested
        found = line[primary]
        of, left = f"{line['epoch']}/{cell.train.epochs}", duration(self._left * seconds)
        shown = "diverged" if found is None else f"{primary.replace('_', ' ')} {found:.4f}"
        short = "diverged" if found is None else f"test {found:.4f}"
        took = f"{line['train_seconds'] + line['eval_seconds']:.1f} s"
        text = console.fitted(
            f"[{number}/{self.total}] ",
            cell.slug,
            f"  epoch {of}  {shown}  {took}  left about {left}",
            f"  epoch {of}  {short}  left {left}",
            f"  {of}  {short}  left {left}",
        )
        last = line["epoch"] == cell.train.epochs or found is None
        columns = console.width()
        if columns is not None:
            # Never longer than the terminal is now: of a line that wraps only the last row would be rewritten.
            console.say("\r" + text.ljust(min(self._width, columns - 1)), end="\n" if last else "")
            self._width = 0 if last else len(text)
        elif last or time.monotonic() - self._printed >= QUIET:
            self._printed = time.monotonic()
            console.say(text)

    def say(self, text: str) -> None:
        """Print a line of its own."""
        console.say(f"\n{text}" if self._width else text)
        self._width = 0


def duration(seconds: float) -> str:
    """Return a time in words of one or two units: 45 s, 12 min, 3 h 20 min, 9 days."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if minutes >= 3 * 24 * 60:
        return f"{minutes / (24 * 60):,.0f} days"
    return f"{minutes // 60} h {minutes % 60:02d} min"
