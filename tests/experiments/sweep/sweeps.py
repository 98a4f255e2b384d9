"""Sweeps and trials for the tests, with the config files as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from scs_study.analysis.sweep.rows import Row
from scs_study.config.schema import CellConfig
from scs_study.experiments.compose import CONF
from scs_study.experiments.sweep.settings import Sweep, sweep_of
from scs_study.system import files


def sweep(name: str = "quick", overrides: dict[str, Any] | None = None, **settings: Any) -> Sweep:
    """The sweep conf/sweep/<name>.yaml with `settings` of its own and `overrides` of the cell's."""
    config = {**OmegaConf.to_container(OmegaConf.load(CONF / "sweep" / f"{name}.yaml")), **settings}
    return sweep_of(name, OmegaConf.create(config), overrides or {})


def row(p: float, *curve: float, seed: int = 0, state: str = "done", planned: int = 4, number: int = 0) -> Row:
    """A row of a sweep over p whose best accuracies so far are `curve`."""
    return Row({"p": p}, seed, state, curve, planned, number, 1, f"run-{p:g}-{seed}", "")


def write_run(
    runs: Path, cell: CellConfig, accuracies: list[float | None], state: str, message: str = "", parameters: int = 0
) -> Path:
    """A run's folder with what a sweep reads of it: the accuracy after each epoch, None where it diverged, and, of one
    that is done, `parameters`."""
    folder = runs / cell.run_name
    folder.mkdir(parents=True)
    status = {"state": state, "epoch": len(accuracies), "epochs": cell.train.epochs, "message": message, "updated": 1.0}
    files.write_json(folder / "config.json", cell.identity())
    files.write_json(folder / "status.json", status)
    lines = [{"epoch": epoch, "test_accuracy": value} for epoch, value in enumerate(accuracies, start=1)]
    if parameters:
        files.write_json(folder / "result.json", {"state": state, "parameters": parameters})
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
