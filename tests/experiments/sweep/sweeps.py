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
    config = OmegaConf.merge(OmegaConf.load(CONF / "sweep" / f"{name}.yaml"), settings)
    return sweep_of(name, config, overrides or {})


def row(p: float, *curve: float, seed: int = 0, state: str = "done", planned: int = 4, number: int = 0) -> Row:
    """A row whose best test accuracies so far are `curve`."""
    return Row(p, seed, state, curve, planned, number, 1, f"run-{p:g}-{seed}", "")


def write_run(runs: Path, cell: CellConfig, accuracies: list[float | None], state: str, message: str = "") -> Path:
    """A run's folder with what a sweep reads of it: the test accuracy after each epoch, None where it diverged."""
    folder = runs / cell.run_name
    folder.mkdir(parents=True)
    status = {"state": state, "epoch": len(accuracies), "epochs": cell.train.epochs, "message": message, "updated": 1.0}
    files.write_json(folder / "config.json", cell.identity())
    files.write_json(folder / "status.json", status)
    lines = [{"epoch": epoch, "test_accuracy": value} for epoch, value in enumerate(accuracies, start=1)]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
