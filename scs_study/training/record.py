"""The files a run leaves behind: a table or a figure is a function of these and of nothing else (design.md)."""

from __future__ import annotations

import base64
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scs_study.layers.registry import spec_of
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from scs_study.training.step_log import StepLog

BINS = 50
"""Of the histogram of a layer's weights, between the smallest and the largest of them."""


def truncate(folder: Path, epoch: int) -> None:
    """Cut the files of EPOCHS to the epochs up to `epoch`, each once: a resumed run writes later ones again.

    An epoch is there twice where a process was suspended between its last look at the lock and its write, and woke up
    when another one had taken the run over: the numbers are the same.
    """
    for name in run_folder.EPOCHS:
        path = folder / name
        if path.exists():
            content = files.read_bytes(path)
            kept: list[bytes] = []
            for line in content.split(b"\n")[:-1]:  # what ends without a newline was never finished
                if len(kept) < epoch and not _is_one_of(line, len(kept)):
                    kept.append(line + b"\n")
            if b"".join(kept) != content:
                files.write_bytes(path, b"".join(kept))


def _is_one_of(line: bytes, epochs: int) -> bool:
    """Whether the line records one of the first `epochs` epochs; damaged ones do not, and stay to be noticed."""
    try:
        return bool(json.loads(line)["epoch"] <= epochs)
    except (ValueError, LookupError, TypeError):
        return False


def check_epochs(path: Path, epochs: int | None) -> None:
    """Raise ValueError naming the file unless its lines are the epochs 1, 2, ..., at least `epochs` of them."""
    numbers = [line.get("epoch") for line in files.read_lines(path)]
    if numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"{path} is damaged: its lines are not the epochs 1, 2, ...")
    if epochs is not None and len(numbers) < epochs:
        raise ValueError(f"{path} is damaged: {len(numbers)} of {epochs} epochs are left")


def history_line(
    epoch: int,
    train: Mapping[str, float | None],
    test: Mapping[str, float | None],
    train_seconds: float,
    eval_seconds: float,
    lr: float,
) -> dict[str, Any]:
    """Return one epoch's record; the metrics are None after a loss that was not finite."""
    metrics = {f"train_{name}": value for name, value in train.items()}
    metrics |= {f"test_{name}": value for name, value in test.items()}
    return {"epoch": epoch, **metrics, "train_seconds": train_seconds, "eval_seconds": eval_seconds, "lr": lr}


def layers_line(epoch: int, layers: Mapping[str, nn.Module], log: StepLog) -> dict[str, Any]:
    """Return one epoch's record of every layer.

    weight_norm: L2, at its end; gradient_norm: the mean L2 norm over its steps; what the layer's entry in the registry
    records (the effective p of each kernel, q: paper section 3); weights: a histogram (low, high and the counts of BINS
    equal bins between them; None where a weight is not finite).
    """
    steps = max(log.done, 1)
    gradients = log.gradient_norm[:steps].double().mean(0)
    record: dict[str, Any] = {}
    for index, (path, module) in enumerate(layers.items()):
        recorded = {name: _values(read(module)) for name, read in spec_of(module).recorded.items()}
        record[path] = {
            "weight_norm": _number(log.weight_norm[steps - 1, index]),
            "gradient_norm": _number(gradients[index]),
            "p": None,
            "q": None,
            **recorded,
            "weights": _histogram(module.weight.detach()),  # type: ignore[operator]
        }
    return {"epoch": epoch, "layers": record}


def steps_line(epoch: int, layers: list[str], log: StepLog) -> dict[str, Any]:
    """Return one epoch's record of the layers' weight norms (L2): `before` its first step, and after each of its
    `steps`.

    weight_norm: base64 of steps x layers little-endian float32 (`weight_norms` reads it): as text it would be four
    times as long, and the paper's longest run has a million of them.
    """
    after = log.weight_norm[: log.done].cpu().numpy().astype("<f4")
    before = [_number(value) for value in log.before]
    text = base64.b64encode(after.tobytes()).decode()
    return {"epoch": epoch, "layers": layers, "before": before, "steps": log.done, "weight_norm": text}


def weight_norms(line: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return the weight norms that a line of steps.jsonl holds: (steps, layers), after each step.

    Raises ValueError when the line is damaged.
    """
    values = np.frombuffer(base64.b64decode(line["weight_norm"], validate=True), "<f4")
    if values.size != line["steps"] * len(line["layers"]):
        raise ValueError(f"epoch {line['epoch']}: {values.size} norms, not {line['steps']} x {len(line['layers'])}")
    return values.reshape(line["steps"], len(line["layers"]))


def result(folder: Path, state: str, primary: str, direction: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the content of result.json: what the tables need, from the run's history, and `facts` about the run.

    primary, direction: the objective's metric, and which of its values is the better one.
    """
    test, train = f"test_{primary}", f"train_{primary}"
    history = [line for line in files.read_lines(folder / run_folder.HISTORY) if line[test] is not None]
    sign = 1 if direction == "max" else -1
    best = max(history, key=lambda line: sign * line[test], default=None)
    last = history[-1] if history else {}
    return {
        "state": state,
        f"best_{test}": best[test] if best else None,
        "best_epoch": best["epoch"] if best else None,
        f"final_{test}": last.get(test),
        **({f"final_{train}": last.get(train)} if not last or train in last else {}),
        "final_test_loss": last.get("test_loss"),
        "train_seconds": statistics.median(line["train_seconds"] for line in history) if history else None,
        "eval_seconds": statistics.median(line["eval_seconds"] for line in history) if history else None,
        "epochs": len(history),
        **facts,
    }


def message(result: Mapping[str, Any]) -> str:
    """Return what there is to say of a run that diverged or did not train, or of its gradients, in one sentence; or
    "".
    """
    words = []
    if result["state"] == "diverged":
        words.append(f"{result['diverged']['reason']} in epoch {result['diverged']['epoch']}")
    if result["state"] == "untrained":
        words.append("the accuracy never left chance")
    if result["state"] == "collapsed":
        words.append(str(result["collapsed"]))
    if bounds := result.get("gradient_left_bounds"):
        norm = "not finite" if bounds["gradient_norm"] is None else f"{bounds['gradient_norm']:.3g}"
        where = f"in epoch {bounds['epoch']}, step {bounds['step']}"
        words.append(f"the gradient norm of {bounds['layer']} was {norm} {where}")
    return "; ".join(words)


def _histogram(weight: Tensor) -> dict[str, Any] | None:
    values = weight.float().cpu()
    if not torch.isfinite(values).all():
        return None
    low, high = float(values.min()), float(values.max())
    counts = torch.histc(values, BINS, low, high) if high > low else torch.tensor([values.numel()] + [0] * (BINS - 1))
    return {"low": _number(values.min()), "high": _number(values.max()), "counts": [int(count) for count in counts]}


def _values(tensor: Tensor | None) -> float | list[float | None] | None:
    if tensor is None:  # such as p, where a layer leaves its power out
        return None
    tensor = tensor.detach().cpu()
    return [_number(value) for value in tensor.flatten()] if tensor.dim() else _number(tensor)


def _number(value: Tensor) -> float | None:
    # float32 to the shortest text that reads back the same; JSON has no word for inf and nan.
    return float(str(value.float().cpu().numpy())) if torch.isfinite(value) else None
