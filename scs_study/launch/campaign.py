"""A study as a campaign: in which order its cells are worth their time, and what is left when the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from scs_study.config.schema import CellConfig
from scs_study.experiments.estimate import Cost
from scs_study.experiments.grid import SubStudy
from scs_study.runs.context import RunContext
from scs_study.runs.progress import duration
from scs_study.runs.state import run_states
from scs_study.runs.stopped import STOPPED
from scs_study.system import environment
from scs_study.system.tensors import load_notes
from scs_study.training import checkpoint

UNFINISHED = 75
"""Exit status: nothing failed and the time is up (EX_TEMPFAIL of sysexits.h); the same command goes on."""
BEGUN = ("running", "interrupted")
"""States of a run that has a part of its work behind it, or another process at it."""


@dataclass(frozen=True)
class Campaign:
    """The cells of a study that were not done when its command began, in their order of worth.

    costs: of each, by run name. before: epochs that each had done then, the steps of the next one included.
    budget: the seconds that the command has for its runs, None for no end. processes: of the launcher.
    """

    cells: Sequence[CellConfig]
    context: RunContext
    costs: Mapping[str, Cost]
    budget: float | None
    processes: int
    before: Mapping[str, float]
    started: float = field(default_factory=time.monotonic)

    @staticmethod
    def begin(
        cells: Sequence[CellConfig],
        context: RunContext,
        costs: Mapping[str, Cost],
        budget: float | None,
        processes: int = 1,
    ) -> Campaign:
        """Return the campaign of these cells, as they stand now."""
        return Campaign(cells, context, costs, budget, processes, {c.run_name: epochs_done(c, context) for c in cells})

    @property
    def deadline(self) -> float | None:
        """When the runs are to stop, on time.monotonic's clock: the budget counts from the begin of the process."""
        return None if self.budget is None else environment.BEGUN + self.budget

    @property
    def out_of_time(self) -> bool:
        """The budget is used up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def describe(self, ended: float, failed: Collection[str] = ()) -> str:
        """Return what has been done and what is left, a line for each cell under way; "" when nothing is left.

        ended: when the runs stopped, on time.monotonic's clock. failed: names of cells that are left to no time.
        """
        assert self.budget is not None
        states = run_states(self.context.runs, self.cells)
        now, left, lines = dict[str, float](), dict[str, float](), []
        for cell in self.cells:
            name, state, epochs = cell.run_name, states[cell.run_name], cell.train.epochs
            now[name] = state.epoch if state.final else epochs_done(cell, self.context)
            if state.final or state.state == STOPPED or name in failed:
                continue
            left[name] = epochs - now[name]
            if state.state in BEGUN:
                lines.append(f"under way: {name}: {now[name]:.4g} of {epochs} epochs")
        if not left:
            return ""
        work = self._seconds(left)
        done = self._seconds({name: max(0.0, epochs - self.before[name]) for name, epochs in now.items()})
        if done > 0:
            takes = f"about {duration(work * (ended - self.started) / done)} at this pace"
            used = f"{sum(state.final for state in states.values())} cells were finished"
        else:
            takes = f"about {duration(work / self.processes)} by the timed steps"
            used = "it was too short for a step"
        total = f"{len(left)} cells, {sum(left.values()):.4g} epochs"
        spent = f"the budget of {duration(self.budget)} is used up; {used}"
        lines.append(f"{spent}; left: {total}, {takes}; the same command goes on")
        return "\n".join(lines)

    def _seconds(self, epochs: Mapping[str, float]) -> float:
        return sum(count * (self.costs[name].seconds or 0.0) for name, count in epochs.items())


def epochs_done(cell: CellConfig, context: RunContext) -> float:
    """Return how many epochs of a cell its checkpoint has behind it, and what part of the next one."""
    try:
        notes = load_notes(context.runs / cell.run_name / checkpoint.NAME)
        steps = -(-len(context.images(cell.data).train_labels) // cell.train.batch_size)
        return float(notes["epoch"] + notes["step"] / steps)
    except (OSError, ValueError, LookupError, TypeError):  # none, or a damaged one, which the run will set aside
        return 0.0


def in_order(
    order: Sequence[str],
    work: Sequence[CellConfig],
    subs: Sequence[SubStudy],
    context: RunContext,
    costs: Mapping[str, Cost],
) -> list[CellConfig]:
    """Return the cells in a study's `order`: what has been begun comes first, a parent run before who starts from it.

    seed: the lower. table: that of the included study which comes first. cost: the cheaper to finish, by `costs`.
    Equal ones keep their places.
    """
    states = run_states(context.runs, work)
    table: dict[str, int] = {}
    for number, sub in enumerate(subs):
        for cell in sub.cells:
            table.setdefault(cell.run_name, number)

    def cost(cell: CellConfig) -> float:
        of_epoch = costs[cell.run_name].seconds if cell.run_name in costs else None
        return (of_epoch or 0.0) * (cell.train.epochs - states[cell.run_name].epoch)

    values: dict[str, Callable[[CellConfig], float]] = {
        "seed": lambda cell: cell.seed,
        "table": lambda cell: table.get(cell.run_name, len(subs)),
        "cost": cost,
    }
    keys: dict[str, tuple[float, ...]] = {}
    for place, cell in enumerate(work):
        begun = states[cell.run_name].state in BEGUN
        keys[cell.run_name] = (not begun, *(values[word](cell) for word in order), place)
    for cell in work:
        if cell.parent is not None and (parent := cell.parent.run_name) in keys:
            keys[parent] = min(keys[parent], (*keys[cell.run_name][:-1], keys[cell.run_name][-1] - 0.5))
    return sorted(work, key=lambda cell: keys[cell.run_name])
