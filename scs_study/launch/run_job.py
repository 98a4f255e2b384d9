"""One job, computed in this process: what every worker does, whoever started it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scs_study.config.schema import CellConfig
from scs_study.runs.context import RunContext
from scs_study.runs.lock import Heartbeats, LockLost
from scs_study.runs.run_one import run_cell
from scs_study.runs.state import Outcome
from scs_study.training.stopping import Interrupted


def run_job(
    cell: CellConfig,
    context: RunContext,
    stop: Callable[[], bool],
    report: Callable[[dict[str, Any]], bool],
    heartbeats: Heartbeats,
) -> Outcome:
    """Return what became of the cell: "interrupted" when `report` said no, "busy" when another process is at it.

    Raises stopping.Interrupted when `stop()` turned true.
    """
    over = False

    def reported(line: dict[str, Any]) -> None:
        nonlocal over
        over = not report(line) or over

    try:
        return run_cell(cell, context, lambda: over or stop(), reported, heartbeats)
    except LockLost as lost:
        return Outcome("busy", str(lost))
    except Interrupted as stopped:
        if over:
            return Outcome("interrupted", str(stopped))
        raise
