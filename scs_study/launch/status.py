"""Where a study stands: one line a cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scs_study.config.schema import CellConfig
from scs_study.launch.code_snapshot import jobs_of
from scs_study.runs.progress import duration
from scs_study.runs.state import STATES, RunState, run_states


def plan_records(cells: Sequence[CellConfig], runs: Path) -> list[dict[str, Any]]:
    """Return one JSON-able record a cell: what it is, its run folder's name and its state."""
    states = run_states(runs, cells)
    return [
        {
            "architecture": cell.arch,
            "layer": cell.layer.name,
            "activation": cell.activation,
            "pooling": cell.pooling,
            "norm": cell.norm,
            "data": cell.data.name,
            "image_size": cell.data.image_size,
            "epochs": cell.train.epochs,
            "seed": cell.seed,
            "run": name,
            "state": state.state,
        }
        for cell, (name, state) in zip(cells, states.items(), strict=True)
    ]


def status_text(cells: Sequence[CellConfig], runs: Path) -> str:
    """Return a line a cell (state, epoch, run) and a last line that counts the states."""
    states = run_states(runs, cells)
    width = max(len(name) for name in states)
    lines = [f"{name:{width}}  {_words(state)}" for name, state in states.items()]
    counts = Counter(state.state for state in states.values())
    total = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return "\n".join([*lines, f"{len(cells)} cells: {total}"])


def jobs_text(cells: Sequence[CellConfig], runs: Path) -> str:
    """Return a line a SLURM job that has cells of the study; "" where there are none, or a sentence when SLURM is
    silent.
    """
    try:
        jobs = jobs_of(runs, {cell.run_name for cell in cells})
    except ValueError as error:
        return str(error)
    return "\n".join(f"SLURM job {job.number}: {job.state.lower()} {job.reason}" for job in jobs)


def _words(state: RunState) -> str:
    text = state.state
    if state.state in ("running", "interrupted", "stopped", "failed"):
        text += f", epoch {state.epoch}/{state.epochs}"
    if state.age is not None:
        text += f" on {state.owner}, last sign of life {duration(state.age)} ago"
    return f"{text}: {state.message}" if state.message else text
