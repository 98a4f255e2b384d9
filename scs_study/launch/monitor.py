"""Waiting for what was sent to a cluster: run folders and SLURM's queue are looked at, from any shell."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from scs_study.config.schema import CellConfig
from scs_study.launch.code_snapshot import LOGS, SlurmJob, jobs_of, submissions
from scs_study.runs.lock import Heartbeats
from scs_study.runs.state import Outcome, RunState, run_states
from scs_study.runs.stopped import STOPPED
from scs_study.system.console import say
from scs_study.training.stopping import Interrupted, StopRequest

POLL = 3.0


def monitor(
    find_jobs: Callable[[], list[SlurmJob]], look: Callable[[list[SlurmJob] | None], tuple[str, bool]], again: str
) -> None:
    """Print what `look` says whenever that changes, until it also says that all is over.

    look: gets the jobs that SLURM still has, None where it does not answer: the jobs go on without its controller.
    again: what a user who does not wait any longer is told. Raises stopping.Interrupted after SIGTERM or SIGINT; the
    jobs go on.
    """
    printed = ""
    with StopRequest().listening() as stop:
        while True:
            jobs: list[SlurmJob] | None = None
            with contextlib.suppress(ValueError):
                jobs = find_jobs()
            message, over = look(jobs)
            if message != printed:
                say(printed := message)
            if over:
                return
            for _ in range(int(POLL / 0.1)):
                if stop():
                    raise Interrupted(f"no longer waiting; {again}")
                time.sleep(0.1)


def monitor_study(study: str, cells: Sequence[CellConfig], runs: Path) -> dict[str, Outcome]:
    """Return what became of every cell, by run name, once no job has any of them left to compute.

    Looks at run folders and at SLURM's queue only, so it works from any shell and after the submitting process died.
    Raises as `monitor`.
    """
    names, heartbeats = {cell.run_name for cell in cells}, Heartbeats()
    states: dict[str, RunState] = {}

    def look(jobs: list[SlurmJob] | None) -> tuple[str, bool]:
        states.update(run_states(runs, cells, heartbeats))
        running = any(state.state == "running" for state in states.values())
        over = (jobs is not None and not jobs and not running) or all(
            state.final or state.state == STOPPED for state in states.values()
        )
        return summary([state.state for state in states.values()], jobs), over

    again = f"the jobs go on (status study={study} --wait, or cancel)"
    monitor(lambda: jobs_of(runs, names), look, again)
    left = [name for name, state in states.items() if not state.final and state.state not in ("failed", STOPPED)]
    if left:
        logs = [path / LOGS for path in submissions(runs).values()]
        say(f"{len(left)} cells were left unfinished by their tasks; repeat the command to continue them")
        say(f"the last tasks' logs are in {logs[-1]}" if logs else "there are no tasks' logs", error=True)
    return {name: Outcome(state.state, state.message) for name, state in states.items()}


def summary(states: Sequence[str], jobs: Sequence[SlurmJob] | None) -> str:
    """Return one line: how many cells are in which state, and how many jobs."""
    cells = ", ".join(f"{count} {state}" for state, count in sorted(Counter(states).items()))
    if jobs is None:
        return f"cells: {cells}; SLURM does not answer"
    kinds = Counter(
        job.state.lower() + (f" ({job.reason})" if job.state == "PENDING" and job.reason != "None" else "")
        for job in jobs
    )
    return f"cells: {cells}; jobs: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items())) or 'none'}"
