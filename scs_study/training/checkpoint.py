"""A run's checkpoint: everything that the next step depends on, in one file.

Batches, augmentation and what a network draws (Dropout) are a pure function of the seed and the step, so there is no
random state to save.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scs_study.system.console import say
from scs_study.system.tensors import Unreadable, load_tensors, quarantine, save_tensors
from scs_study.training import record
from scs_study.training import run_dir as run_folder
from scs_study.training.state import Phase, TrainState
from scs_study.training.step_log import StepLog

NAME = "checkpoint.safetensors"


@dataclass
class Progress:
    """Where a run stands: `epoch` epochs are complete and recorded, `log` holds the steps of the next one.

    violations: of a gradient norm's bounds, the first of each kind (StepLog.first_violations) and its epoch.
    """

    epoch: int
    log: StepLog
    violations: dict[str, dict[str, Any]] = field(default_factory=dict)


def save(folder: Path, run: str, progress: Progress, state: TrainState) -> None:
    """Write the checkpoint from which the run continues bit for bit (on the same kind of device)."""
    tensors: dict[str, Tensor] = {f"log.{name}": value for name, value in progress.log.tensors().items()}
    notes: dict[str, Any] = {
        "run": run,
        "epoch": progress.epoch,
        "step": progress.log.done,
        "seconds": progress.log.seconds,
        "excursions": progress.violations,
    }
    for name, phase in state.phases.items():
        mine, about = _phase_tensors(phase)
        prefix = state.named(name, "")
        tensors |= {prefix + key: value for key, value in mine.items()}
        notes |= {prefix + key: value for key, value in about.items()}
    save_tensors(folder / NAME, tensors, notes)


def _phase_tensors(phase: Phase) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a network and its optimizer, and what else their state consists of."""
    state = phase.optimizer.state_dict()
    tensors = {f"network.{name}": value for name, value in phase.network.state_dict().items()}
    for index, values in state["state"].items():
        tensors |= {
            f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items() if value is not None
        }
    return tensors, {"groups": state["param_groups"], "scheduler": _plain(phase.scheduler.state_dict())}


def _restore_phase(phase: Phase, tensors: dict[str, Tensor], notes: Mapping[str, Any]) -> None:
    optimizer_state: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        optimizer_state.setdefault(int(index), {})[key] = value
    phase.network.load_state_dict(_below(tensors, "network."))
    groups = [{**group, **_tuples(group)} for group in notes["groups"]]
    phase.optimizer.load_state_dict({"state": optimizer_state, "param_groups": groups})
    phase.scheduler.load_state_dict({**phase.scheduler.state_dict(), **notes["scheduler"]})


def load(folder: Path, run: str, progress: Progress, state: TrainState) -> bool:
    """Return True if the run's checkpoint was found and everything given now stands where it stood.

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
        for name, phase in state.phases.items():
            prefix = state.named(name, "")
            _restore_phase(phase, _below(tensors, prefix), {k.removeprefix(prefix): v for k, v in notes.items()})
        progress.epoch, progress.violations = notes["epoch"], notes["excursions"]
        progress.log.restore(_below(tensors, "log."), notes["step"], notes["seconds"])
    except Unreadable:  # its owner's affair; the run fails, and loses nothing
        raise
    except (ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        say(f"{error}; set aside as {quarantine(path).name}, and the run starts again from its first epoch")
        raise Unusable from error
    return True


def _check_records(folder: Path, epochs: int) -> None:
    # A checkpoint continues after epochs whose records must be there; without them the run has to write them again.
    record.truncate(folder, epochs)
    for name in run_folder.EPOCHS:
        try:
            record.check_epochs(folder / name, epochs)
        except ValueError:
            if (folder / name).exists():
                quarantine(folder / name)
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
