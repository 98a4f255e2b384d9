"""Waiting for what was sent to a cluster: run folders and SLURM's queue are looked at, from any shell."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scs_study.config.schema import CellConfig
from scs_study.launch.code_snapshot import LOGS, Job, jobs_of, submissions
from scs_study.runs.lock import Watch
from scs_study.runs.progress import QUIET
from scs_study.runs.state import Outcome, run_states
from scs_study.system.console import say
from scs_study.training.stopping import Interrupted, StopRequest

POLL = 3.0


def follow(study: str, cells: Sequence[CellConfig], runs: Path) -> dict[str, Outcome]:
    """What became of every cell, by run name, once no job has any of them left to compute.

    Looks at run folders and at SLURM's queue only, so it works from any shell and after the submitting process died.
    Errors: stopping.Interrupted after SIGTERM or SIGINT; the jobs go on.
    """
    names = {cell.run_name for cell in cells}
    told, last, watch = "", 0.0, Watch()
    with StopRequest().listening() as stop:
        while True:
            jobs: list[Job] | None = None
            with contextlib.suppress(ValueError):  # a controller that restarts; the jobs go on without it
                jobs = jobs_of(runs, names)
            states = run_states(runs, cells, watch)
            words = summary([state.state for state in states.values()], jobs)
            if words != told and time.monotonic() - last >= min(QUIET, POLL):
                say(words)
                told, last = words, time.monotonic()
            running = [state for state in states.values() if state.state == "running"]
            if jobs is not None and not jobs and not running:
                break
            if all(state.final for state in states.values()):
                break
            for _ in range(int(POLL / 0.1)):
                if stop():
                    raise Interrupted(f"no longer waiting; the jobs go on (status study={study} --wait, or cancel)")
                time.sleep(0.1)
    left = [name for name, state in states.items() if not state.final and state.state != "failed"]
    if left:
        logs = [path / LOGS for path in submissions(runs).values()]
        say(f"{len(left)} cells were left unfinished by their tasks; repeat the command to continue them")
        say(f"the last tasks' logs are in {logs[-1]}" if logs else "there are no tasks' logs", error=True)
    return {name: Outcome(state.state, state.message) for name, state in states.items()}


def summary(states: Sequence[str], jobs: Sequence[Job] | None) -> str:
    """One line: how many cells are in which state, and how many jobs."""
    cells = ", ".join(f"{count} {state}" for state, count in sorted(Counter(states).items()))
    if jobs is None:
        return f"cells: {cells}; SLURM does not answer"
    kinds = Counter(
        job.state.lower() + (f" ({job.reason})" if job.state == "PENDING" and job.reason != "None" else "")
        for job in jobs
    )
    return f"cells: {cells}; jobs: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items())) or 'none'}"
