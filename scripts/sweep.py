"""Searches settings with Optuna: python scripts/sweep.py sweep=rohrer100k [workers=2] [sweep.trials=50 ...]

Start it as often and on as many machines as there are hands to lend: every start works on the same study.
launch=pool starts as many on this machine as conf/launch/pool.yaml says, launch=slurm sends them to a cluster.
workers=0 writes the table and figures of what is there, dashboard=8080 opens Optuna's dashboard on it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import FAILED, read_command

if __name__ == "__main__":
    command = read_command("sweep", {"--detach": "launch.detach=true"})  # wrong words end here, before slow imports

import optuna
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from scs_study.analysis.sweep.publish import publish
from scs_study.analysis.sweep.rows import rows_of
from scs_study.config.schema import choice, whole
from scs_study.experiments.grid import cell_overrides
from scs_study.experiments.sweep.settings import sweep_of
from scs_study.experiments.sweep.source import SweepPlan, SweepSource
from scs_study.experiments.sweep.storage import check_command_line, check_settings, check_url, load
from scs_study.launch.inline import run_inline
from scs_study.launch.pool import run_pool
from scs_study.launch.pool_size import PoolSize, pool_size
from scs_study.launch.registry import LAUNCHERS, check_writable, pool_of
from scs_study.launch.sweep import monitor_sweep, submit_sweep
from scs_study.launch.sweep import unfinished as unfinished_trials
from scs_study.runs.context import RunContext, check_checkpoint, place_checkpoint, run_context
from scs_study.runs.provenance import tell_unknown_commit
from scs_study.selection import results_folder, task_overrides, with_root
from scs_study.system.console import say
from scs_study.training.process import prepare_process
from scs_study.training.stopping import Interrupted, StopRequest


def main(config: DictConfig) -> int:
    """Return the exit status: 0 when every trial is done, pruned or diverged."""
    prepare_process()
    sweep = sweep_of(str(HydraConfig.get().runtime.choices["sweep"]), config.sweep, with_root(config))
    check_url(config.storage)
    context = run_context(config)
    name = sweep.study_name if config.name is None else str(config.name)
    if config.dashboard is not None:
        return dashboard(load(name, config.storage, context.runs), whole("dashboard", config.dashboard, 1, 65535))
    workers = whole("workers", config.workers, 0)
    launcher = choice("launch.name", config.launch.name, LAUNCHERS)
    if launcher == "inline" and config.launch.side_by_side != 1:
        raise ValueError(
            "launch.side_by_side has no effect on a sweep with launch=inline: workers=N works on N trials, "
            "in a process each, and launch=pool on several in each"
        )
    if config.launch.get("budget") is not None:
        raise ValueError("launch.budget has no effect on a sweep: stop it when you like, the same command goes on")
    folder = results_folder(config, f"sweep/{name}")
    unfinished = 0
    if workers:
        check_writable(context.runs)
        cells = [dataclasses.replace(cell, seed=seed) for cell in sweep.cells for seed in sweep.seeds]
        overrides = cell_overrides(task_overrides())
        check_checkpoint(cells, overrides)
        place_checkpoint(config, cells, overrides)
        say(f"{name}: {sweep.title}; {sweep.total} trials, chosen by the accuracy on {sweep.judged_by} images")
        tell_unknown_commit()
        plan = SweepPlan(sweep, name, config.storage)
        for data in {cell.data.images_key: cell.data for cell in cells}.values():
            context.images(data, download=True)  # no worker downloads
        context.check_batches(cells)
        if launcher == "slurm":
            unfinished = on_cluster(plan, workers, context, config)
            if config.launch.detach:
                return 0
        else:
            try:
                size = pool_of(context, config) if launcher == "pool" else None
                device, engine = context.settings.device, context.settings.engine
                compute(plan, context, size or pool_size(device, engine, workers, 1, torch.get_num_threads()))
            except Interrupted as error:
                raise Interrupted(f"study {name} goes on from here when the same command is given again") from error
    study = load(name, config.storage, context.runs)
    check_settings(study, sweep)
    say(publish(study, sweep, context.runs, folder))
    say(f"written to {folder}")
    if unfinished:
        words = f"{unfinished} trials are not done, and no job is left to do them; the tasks' logs say why"
        say(f"{words}: give the same command again to go on", error=True)
    failed = any(row.state == "failed" for row in rows_of(study.get_trials(deepcopy=False), sweep, context.runs))
    return FAILED if failed or unfinished else 0


def compute(plan: SweepPlan, context: RunContext, size: PoolSize) -> None:
    """Do all that is left of the sweep: in this process, or in as many as `size` says. Raises stopping.Interrupted."""
    with StopRequest().listening() as stop:
        source = SweepSource.of(plan, context.runs, context.retry_failed, stop)
    if stop():
        raise Interrupted("stopped")
    if size.workers == size.side_by_side == 1:
        run_inline(source, context)
    else:
        run_pool(source, context, size)


def on_cluster(plan: SweepPlan, workers: int, context: RunContext, config: DictConfig) -> int:
    """Return how many trials the workers on the cluster have left; 0 at once where launch.detach says so."""
    launch, engine = (OmegaConf.to_container(part, resolve=True) for part in (config.launch, config.engine))
    assert isinstance(launch, dict)
    assert isinstance(engine, dict)
    numbers = submit_sweep(plan, workers, context, {str(k): v for k, v in launch.items()},
                           {str(k): v for k, v in engine.items()})  # fmt: skip
    say(f"SLURM jobs: {' '.join(numbers)}")
    if launch["detach"]:
        return 0
    monitor_sweep(plan.name, plan.url, context.runs)
    return unfinished_trials(plan.name, plan.url, context.runs, plan.sweep.total)


def dashboard(study: optuna.Study, port: int) -> int:
    """Return exit status 0, once somebody ends Optuna's dashboard on the study's storage."""
    # Imported here: it takes seconds, for this alone.
    from optuna_dashboard import run_server  # type: ignore[import-untyped]

    say(f"{study.study_name}: http://127.0.0.1:{port}/ (Ctrl-C ends it)")
    # In this process: a storage's URL among the arguments of another one would show its password to everybody.
    with contextlib.suppress(KeyboardInterrupt):
        try:
            run_server(study._storage, host="127.0.0.1", port=port)
        except OSError as error:
            raise ValueError(f"dashboard={port}: {error.strerror or error}") from error
    return 0


if __name__ == "__main__":
    command.run(main, check_command_line)
