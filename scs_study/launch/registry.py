"""The choice of a launcher: conf/launch/*.yaml by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from scs_study.config.checks import time_span
from scs_study.config.schema import CellConfig, choice
from scs_study.experiments.estimate import Cost, cell_costs, estimate
from scs_study.launch.inline import inline
from scs_study.launch.pool import pool
from scs_study.launch.pool_size import PoolSize, pool_size
from scs_study.launch.slurm import slurm
from scs_study.launch.threads import side_by_side, thread_count
from scs_study.runs.context import RunContext
from scs_study.runs.state import Outcome, run_states
from scs_study.runs.validate import is_complete
from scs_study.system import files
from scs_study.training.run import device_name

LAUNCHERS = ("inline", "pool", "slurm")


def incomplete(cells: Sequence[CellConfig], runs: Path) -> list[CellConfig]:
    """Return the cells that have no result yet, or one with a damaged file."""
    return [cell for cell in cells if not is_complete(runs, cell)]


def timed(cells: Sequence[CellConfig], context: RunContext, config: DictConfig) -> dict[str, Cost]:
    """Return what each cell costs on this device, by run name; nothing is timed for a cluster's nodes."""
    device = None if config.launch.name == "slurm" else context.settings.device
    return cell_costs(cells, {cell.data.images_key: context.images(cell.data) for cell in cells}, device)


def forecast(missing: Sequence[CellConfig], costs: Mapping[str, Cost], context: RunContext, config: DictConfig) -> str:
    """Return a line on what the incomplete cells will take, by what each costs; "" where there are none."""
    if not missing:
        return ""
    states = run_states(context.runs, missing)
    # A final run among them has a damaged file, and is computed again.
    epochs = {name: 0 if state.final else state.epoch for name, state in states.items()}
    left = [(cell, cell.train.epochs - epochs[cell.run_name]) for cell in missing]
    found, engine = estimate(left, costs), context.settings.engine
    words = found.describe(processes(missing, context, config), device_name(context.settings.device))
    if found.seconds is None:
        return words
    if engine != "eager":
        words += f"; timed as engine=eager does them, not {engine}"
    if at_once(context, config) > 1:
        words += "; what the runs of one process gain by overlapping is not foreseen"
    return words


def processes(cells: Sequence[CellConfig], context: RunContext, config: DictConfig) -> int:
    """Return how many processes of this machine share the cells."""
    return max(1, min(pool_of(context, config).workers, len(cells))) if config.launch.name == "pool" else 1


def at_once(context: RunContext, config: DictConfig) -> int:
    """Return how many runs each process of this machine computes at the same time."""
    return pool_of(context, config).side_by_side if config.launch.name == "pool" else side_by_side_of(config)


def launch(
    study: str, cells: Sequence[CellConfig], context: RunContext, config: DictConfig, deadline: float | None = None
) -> dict[str, Outcome] | None:
    """Return what became of every cell, by run name, from the launcher that `config` names; None when it did not wait.

    deadline: when the runs stop with a checkpoint, on time.monotonic's clock; never for a cluster (budget_of).

    Raises ValueError in one sentence before anything runs; stopping.Interrupted.
    """
    name = choice("launch.name", config.launch.name, LAUNCHERS)
    if incomplete(cells, context.runs):
        check_writable(context.runs)
    if name == "slurm":
        settings = OmegaConf.to_container(config.launch, resolve=True)
        engine = OmegaConf.to_container(config.engine, resolve=True)
        assert isinstance(settings, dict)
        assert isinstance(engine, dict)
        return slurm(
            study, cells, context, {str(k): v for k, v in settings.items()}, {str(k): v for k, v in engine.items()}
        )
    if name == "pool":
        return pool(cells, context, pool_of(context, config), deadline=deadline)
    count = side_by_side_of(config)
    if count == 1:
        return inline(cells, context, deadline=deadline)
    return side_by_side(cells, context, count, deadline)


def pool_of(context: RunContext, config: DictConfig) -> PoolSize:
    """Return how many processes conf/launch/pool.yaml means on this machine, with how many runs at once, and their
    devices. Raises ValueError.
    """
    device, launch, engine = context.settings.device, config.launch, config.engine
    return pool_size(device, context.settings.engine, launch.workers, launch.side_by_side, engine.threads)


def check_launch(config: DictConfig, context: RunContext) -> None:
    """Do nothing for settings that a launcher on this machine can have. Raises ValueError in one sentence."""
    name = choice("launch.name", config.launch.name, LAUNCHERS)
    budget_of(config)
    if name == "pool":
        pool_of(context, config)
    elif name == "inline":
        side_by_side_of(config)


def budget_of(config: DictConfig) -> float | None:
    """Return the seconds that launch.budget gives a command for its runs, None for no end. Raises ValueError."""
    given = config.launch.get("budget")
    if given is None:
        return None
    seconds = time_span("launch.budget", given)
    if config.launch.name == "slurm":
        raise ValueError(
            f"launch.budget={given}: not with launch=slurm, whose queue decides when anything begins; launch.minutes "
            "limits a task, and within an allocation of yours launch=inline and launch=pool take a budget"
        )
    return seconds


def side_by_side_of(config: DictConfig) -> int:
    """Return how many cells conf/launch/inline.yaml means at once in one process. Raises ValueError."""
    return thread_count("launch.side_by_side", config.launch.side_by_side)


def check_writable(runs: Path) -> None:
    """Raise ValueError in one sentence when nothing can be written into the folder."""
    try:
        files.check_writable(runs)
    except OSError as error:
        raise ValueError(f"runs={runs}: nothing can be written there: {error.strerror or error}") from error
