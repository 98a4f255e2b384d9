"""Several cells at once in one process, each in a thread with a CUDA stream of its own.

A network of 25K parameters does not fill a GPU. Processes on one GPU take turns; streams of one process overlap, and
graphs leave the host so little to do that one process feeds many of them. Every cell goes through `run_cell`, so that
leases, checkpoints and records are as ever, and one that diverges or fails ends alone.
"""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from scs_study.config.schema import CellConfig
from scs_study.launch.inline import POLL, epochs_left
from scs_study.models import not_swapped
from scs_study.runs.context import Workplace
from scs_study.runs.lock import LeaseLost, Watch
from scs_study.runs.progress import Progress
from scs_study.runs.run_one import run_cell
from scs_study.runs.state import Outcome
from scs_study.training.cuda_stream import on_own_stream
from scs_study.training.stopping import Interrupted, StopRequest

_TICK = 0.2


@dataclass
class _Table:
    """What the threads share; `lock` guards all of it. todo: (not before, number, cell)."""

    total: int
    place: Workplace
    stop: StopRequest
    progress: Progress
    todo: list[tuple[float, int, CellConfig]]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    broken: str = ""
    raised: BaseException | None = None


def side_by_side(cells: Sequence[CellConfig], place: Workplace, count: int) -> dict[str, Outcome]:
    """What became of every cell, by run name: `count` of them at a time, in this process.

    Only cells of the same numerics are computed at the same time: precision is a setting of the process. After an error
    that leaves CUDA unusable, which only the end of the process mends, no further cell is begun. Errors: as `inline`.
    """
    for cell in cells:
        for each in (cell, cell.source or cell):
            not_swapped(each)  # traced now and remembered: tracing changes how every module of the process is called
        with contextlib.suppress(ValueError, OSError):  # each of the cells will say so itself
            place.images(cell.data)
    place = replace(place, settings=replace(place.settings, alone=count == 1))
    progress = Progress.start(cells, epochs_left(cells, place))
    outcomes: dict[str, Outcome] = {}
    with StopRequest().listening() as stop:
        for numerics in dict.fromkeys(cell.train.numerics for cell in cells):
            todo = [(0.0, n, c) for n, c in enumerate(cells, start=1) if c.train.numerics == numerics]
            table = _Table(len(cells), place, stop, progress, todo)
            _compute(table, min(count, len(todo)))
            outcomes |= table.outcomes
            if stop():
                raise Interrupted("stopped")
            if table.raised is not None:
                raise table.raised
            outcomes |= {cell.run_name: Outcome("failed", table.broken) for _, _, cell in table.todo}
    return outcomes


def _compute(table: _Table, count: int) -> None:
    threads = [threading.Thread(target=_serve, args=(table,), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            threads[0].join(_TICK)  # never for long: a signal is heard between two waits only
            threads.sort(key=threading.Thread.is_alive, reverse=True)
    except KeyboardInterrupt:
        raise Interrupted("stopped at once; the runs continue from their last checkpoints") from None


def _serve(table: _Table) -> None:
    device, watch = table.place.settings.device, Watch()
    try:
        with on_own_stream(device):
            while (task := _next(table)) is not None:
                number, cell = task
                try:
                    outcome = run_cell(cell, table.place, table.stop, partial(_epoch, table, number, cell), watch)
                except LeaseLost as lost:
                    outcome = Outcome("busy", str(lost))
                _take_in(table, number, cell, outcome)
    except Interrupted:
        pass
    except BaseException as error:  # nobody waits for what a thread raises
        with table.lock:
            table.raised = table.raised or error


def _next(table: _Table) -> tuple[int, CellConfig] | None:
    while True:
        with table.lock:
            if not table.todo or table.stop() or table.broken or table.raised is not None:
                return None
            if table.todo[0][0] <= time.monotonic():
                return heapq.heappop(table.todo)[1:]
        time.sleep(_TICK)


def _epoch(table: _Table, number: int, cell: CellConfig, line: dict[str, Any]) -> None:
    with table.lock:
        table.progress.epoch(number, cell, line)


def _take_in(table: _Table, number: int, cell: CellConfig, outcome: Outcome) -> None:
    broken = outcome.state == "failed" and not _usable(table.place.settings.device)
    with table.lock:
        if broken and not table.broken:
            table.broken = f"not begun: {cell.run_name} left CUDA unusable; the same command goes on in a new process"
        if outcome.state == "busy":
            heapq.heappush(table.todo, (time.monotonic() + POLL, number, cell))
            if cell.run_name not in table.told:
                table.told.add(cell.run_name)
                table.progress.say(f"[{number}/{table.total}] {outcome.message}; it is left for later")
            return
        table.outcomes[cell.run_name] = outcome
        if outcome.state != "done":
            table.progress.say(f"[{number}/{table.total}] {cell.slug}: {outcome.state}: {outcome.message}")


def _usable(device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    try:
        torch.zeros((), device=device).item()
    except RuntimeError:
        return False
    return True
