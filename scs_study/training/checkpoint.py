"""A run's checkpoint: everything that the next step depends on, in one file.

Batches, augmentation and what a network draws (Dropout) are a pure function of the seed and the step, so there is no
random state to save.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from scs_study.tensors import load_tensors, save_tensors, set_aside
from scs_study.training import record
from scs_study.training import run_dir as run_folder
from scs_study.training.step_log import StepLog

NAME = "checkpoint.safetensors"


@dataclass
class Position:
    """Where a run stands: `epoch` epochs are complete and recorded, `log` holds the steps of the next one.

    excursions: of a gradient norm from its bounds, the first of each kind (StepLog.first_excursions) and its epoch.
    """

    epoch: int
    log: StepLog
    excursions: dict[str, dict[str, Any]] = field(default_factory=dict)


def save(
    folder: Path,
    run: str,
    position: Position,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: LRScheduler,
) -> None:
    """None; the run's folder holds a checkpoint from which it continues bit for bit (on the same kind of device)."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {f"network.{name}": value for name, value in network.state_dict().items()}
    for index, values in state["state"].items():
        tensors |= {
            f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items() if value is not None
        }
    tensors |= {f"log.{name}": value for name, value in position.log.tensors().items()}
    notes = {
        "run": run,
        "epoch": position.epoch,
        "step": position.log.done,
        "seconds": position.log.seconds,
        "excursions": position.excursions,
        "groups": state["param_groups"],
        "scheduler": _plain(scheduler.state_dict()),
    }
    save_tensors(folder / NAME, tensors, notes)


def load(
    folder: Path,
    run: str,
    position: Position,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: LRScheduler,
) -> bool:
    """True if the run's checkpoint was found and everything given now stands where it stood.

    A checkpoint that is damaged or another run's is set aside with a printed sentence; the run then starts again.
    """
    path = folder / NAME
    if not path.exists():
        return False
    try:
        tensors, notes = load_tensors(path)
        if notes["run"] != run:
            raise ValueError(f"{path} belongs to another run, {notes['run']}")
        _check_records(folder, int(notes["epoch"]))
        network_state = _below(tensors, "network.")
        optimizer_state: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(tensors, "optimizer.").items():
            index, key = name.split(".", 1)
            optimizer_state.setdefault(int(index), {})[key] = value
        network.load_state_dict(network_state)
        groups = [{**group, **_tuples(group)} for group in notes["groups"]]
        optimizer.load_state_dict({"state": optimizer_state, "param_groups": groups})
        scheduler.load_state_dict({**scheduler.state_dict(), **notes["scheduler"]})
        position.epoch, position.excursions = notes["epoch"], notes["excursions"]
        position.log.restore(_below(tensors, "log."), notes["step"], notes["seconds"])
    except (ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        print(
            f"{error}; set aside as {set_aside(path).name}, and the run starts again from its first epoch", flush=True
        )
        raise Unusable from error
    return True


def _check_records(folder: Path, epochs: int) -> None:
    # A checkpoint continues after epochs whose records must be there; without them the run has to write them again.
    for name in run_folder.EPOCHS:
        try:
            record.check_epochs(folder / name, epochs)
        except ValueError:
            if (folder / name).exists():
                set_aside(folder / name)
            raise


class Unusable(Exception):
    """The checkpoint could not be used and was set aside; network, optimizer and scheduler are in no known state."""


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _tuples(group: dict[str, Any]) -> dict[str, Any]:
    # JSON turned Adam's betas into a list; OneCycleLR unpacks a tuple.
    return {"betas": tuple(group["betas"])} if "betas" in group else {}


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """The part of a scheduler's state that changes while it runs; the rest is rebuilt from the recipe."""
    return {key: state[key] for key in ("last_epoch", "_step_count", "_last_lr") if key in state}
