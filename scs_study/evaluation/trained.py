"""The trained networks of finished runs, as every evaluation reads them: from the run folder and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from scs_study.config.schema import ADVERSARIAL, CellConfig, cell_from_dict
from scs_study.models import restore_variant
from scs_study.models.pool_fusion import fuse_pools
from scs_study.system import files
from scs_study.system.tensors import checksum, load_tensors
from scs_study.training import run_dir as run_folder


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished run: its cell, its network on the CPU in eval mode, and what identifies its weights.

    network: as it was trained, so with pools taken in before the power (models/pool_fusion.py).
    weights: the checksum of weights.safetensors; an evaluation that is cached says of which weights it is.
    """

    folder: Path
    cell: CellConfig
    network: nn.Module
    result: Mapping[str, Any]
    weights: str


def load_each(runs: Path, rows: Iterable[Mapping[str, Any]]) -> tuple[list[Trained], list[str]]:
    """Return the trained networks of collected runs in `runs`, and a sentence for each that cannot be read."""
    found, problems = [], []
    for row in rows:
        try:
            found.append(load_trained(runs / row["run"]))
        except ValueError as error:
            problems.append(str(error))
    return found, problems


def load_trained(folder: Path) -> Trained:
    """Return the trained network in a run's folder, as its last epoch left it.

    Raises ValueError in one sentence when the run has no final result, or a file of it is damaged.
    """
    try:
        cell = cell_from_dict(files.read_json(folder / run_folder.CONFIG))
        result = files.read_json(folder / run_folder.RESULT)
        tensors, notes = load_tensors(folder / run_folder.WEIGHTS)
    except FileNotFoundError as error:
        raise ValueError(f"{folder.name} is not finished: it has no {Path(str(error.filename)).name}") from None
    except OSError as error:
        raise ValueError(f"{error.filename or folder} cannot be read: {error.strerror or error}") from error
    if notes.get("run") != folder.name or cell.run_name != folder.name:
        raise ValueError(
            f"{folder} holds the weights of another run, {notes.get('run', 'which its file does not name')}"
        )
    if cell.objective == ADVERSARIAL:
        raise ValueError(f"{folder.name} has no classes: its networks are a generator and a discriminator")
    network = fuse_pools(restore_variant(cell, tensors)).eval()
    return Trained(folder, cell, network, result, checksum(tensors))
