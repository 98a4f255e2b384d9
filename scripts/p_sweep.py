"""Sweeps one fixed p for all layers: python scripts/p_sweep.py sweep=rohrer100k [workers=2] [sweep.trials=50 ...]

Start it as often and on as many machines as there are hands to lend: every start is one more worker on the same study.
launch=pool starts as many on this machine as conf/launch/pool.yaml says, launch=slurm sends them to a cluster.
workers=0 writes the table and figures of what is there, dashboard=8080 opens Optuna's dashboard on it.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

import optuna
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from scs_study.analysis.sweep.publish import publish
from scs_study.analysis.sweep.rows import rows_of
from scs_study.command import FAILED, results_folder, run_command, task_overrides, with_root
from scs_study.config.schema import choice, whole
from scs_study.data import check_batch_size, load_images
from scs_study.experiments.grid import cell_overrides
from scs_study.experiments.sweep.settings import sweep_of
from scs_study.experiments.sweep.storage import check_command_line, check_settings, check_url, load
from scs_study.launch import sweep_slurm as cluster
from scs_study.launch.registry import LAUNCHERS, check_writable, pool_of
from scs_study.launch.sweep_pool import Job, run_workers
from scs_study.runs.context import check_checkpoint, keep_checkpoint, workplace
from scs_study.runs.provenance import tell_unknown_commit
from scs_study.system.console import say
from scs_study.training.process import prepare_process
from scs_study.training.stopping import Interrupted


def main(config: DictConfig) -> int:
    """The exit status: 0 when every trial is done, pruned or diverged."""
    prepare_process()
    sweep = sweep_of(str(HydraConfig.get().runtime.choices["sweep"]), config.sweep, with_root(config))
    check_url(config.storage)
    place = workplace(config)
    name = sweep.study_name if config.name is None else str(config.name)
    if config.dashboard is not None:
        return dashboard(load(name, config.storage, place.runs), whole("dashboard", config.dashboard, 1, 65535))
    workers = whole("workers", config.workers, 0)
    launcher = choice("launch.name", config.launch.name, LAUNCHERS)
    if launcher == "pool" and workers:
        workers = pool_of(place, config).workers
    if config.launch.get("side_by_side", 1) != 1:
        raise ValueError("launch.side_by_side has no effect on a sweep: workers=N works on N trials, in a process each")
    folder = results_folder(config, f"p_sweep/{name}")
    died = None
    if workers:
        check_writable(place.runs)
        cells, overrides = [sweep.cell(sweep.low, seed) for seed in sweep.seeds], cell_overrides(task_overrides())
        check_checkpoint(cells, overrides)
        keep_checkpoint(config, cells, overrides)
        say(f"{name}: {sweep.title}; {sweep.total} trials")
        tell_unknown_commit()
        job = Job(
            sweep,
            name,
            config.storage,
            place.runs,
            place.settings,
            place.data_root,
            place.data_cache,
            place.retry_failed,
        )
        try:
            if launcher == "slurm":
                died = on_cluster(job, config)
                if config.launch.detach:
                    return 0
            else:
                died = run_workers(job, workers)
        except Interrupted as error:
            if launcher == "slurm":
                raise
            raise Interrupted(f"study {name} goes on from here when the same command is given again") from error
    study = load(name, config.storage, place.runs)
    check_settings(study, sweep)
    say(publish(study, sweep, place.runs, folder))
    say(f"written to {folder}")
    if died:
        say(f"{died}: give the same command again to go on", error=True)
    failed = any(row.state == "failed" for row in rows_of(study.get_trials(deepcopy=False), sweep, place.runs))
    return FAILED if failed or died else 0


def on_cluster(job: Job, config: DictConfig) -> str | None:
    """As processes.run_workers, by workers on the cluster; None at once where launch.detach says so."""
    launch, engine = (OmegaConf.to_container(part, resolve=True) for part in (config.launch, config.engine))
    assert isinstance(launch, dict)
    assert isinstance(engine, dict)
    job_cell = job.sweep.cell(job.sweep.low, job.sweep.seeds[0])
    images = load_images(job_cell.data, job.data_root, job.data_cache, download=True)  # no worker downloads
    check_batch_size(job_cell.train.batch_size, images)
    numbers = cluster.submit(job, config.workers, {str(k): v for k, v in launch.items()},
                             {str(k): v for k, v in engine.items()})  # fmt: skip
    say(f"SLURM jobs: {' '.join(numbers)}")
    if launch["detach"]:
        return None
    cluster.follow(job.name, job.url, job.runs)
    left = cluster.unfinished(job.name, job.url, job.runs, job.sweep.total)
    return f"{left} trials are not done, and no job is left to do them; the tasks' logs say why" if left else None


def dashboard(study: optuna.Study, port: int) -> int:
    """Exit status 0, once somebody ends Optuna's dashboard on the study's storage."""
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
    run_command(main, "p_sweep", check_command_line, {"--detach": "launch.detach=true"})
