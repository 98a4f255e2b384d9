"""Run folders as training leaves them, written with made-up numbers: real files for the analyses to read."""

import json
import math
import random
from pathlib import Path

from scs_study.config.schema import CellConfig, cell_from_dict
from scs_study.system import files

LAYERS = {
    "conv": {"name": "conv", "parameterisation": None, "p_init": None, "w_max": None},
    "scs": {"name": "scs", "parameterisation": "may2022", "p_init": [1.0, 3.0], "w_max": 1.0},
    "sdp": {"name": "sdp", "parameterisation": None, "p_init": [1.0, 3.0], "w_max": None},
    "cosine": {"name": "cosine", "parameterisation": "may2022", "p": 1.0, "p_init": None, "w_max": 1.0},
}


def cell(
    layer: str = "conv",
    activation: str = "relu",
    pooling: str = "max",
    seed: int = 0,
    arch: str = "rohrer25k",
    norm: str = "none",
    init: str = "conv2d",
    **settings: object,
) -> CellConfig:
    """A cell of the paper's recipe on digits for three epochs; settings: data__name=..., train__epochs=..."""
    values = {
        "arch": arch,
        "layer": {"p": None, "weight_scale": 1.0, "skip_1x1": False, **LAYERS[layer]},
        "activation": activation,
        "pooling": pooling,
        "norm": norm,
        "data": {"name": "digits", "image_size": 32, "crop_padding": 4, "flip": True},
        "init": init,
        "train": {
            "epochs": 3,
            "batch_size": 128,
            "optimizer": "adam",
            "max_lr": 0.01,
            "schedule": "onecycle",
            "weight_decay": 0.0,
            "momentum": None,
            "label_smoothing": 0.0,
            "numerics": "float32",
        },
        "seed": seed,
    }
    for key, value in settings.items():
        group, _, name = key.partition("__")
        values[group][name] = value
    return cell_from_dict(values)


def write_run(
    runs: Path,
    cell: CellConfig,
    accuracies: list[float | None],
    state: str = "done",
    seconds: tuple[float, float] = (2.0, 0.5),
    device: str = "cpu",
    message: str = "",
    layers: int = 0,
    commit: str | None = "0123456789abcdef",
) -> Path:
    """The folder of a run in `state` whose test accuracy after each epoch so far is `accuracies` (None: diverged)."""
    folder = runs / cell.run_name
    folder.mkdir(parents=True)
    files.write_json(folder / "config.json", cell.identity())
    done = len(accuracies)
    status = {"state": state, "epoch": done, "epochs": cell.train.epochs, "message": message, "updated": 1.0}
    files.write_json(folder / "status.json", status)
    provenance = {"commit": commit, "dirty": False, "device": device}
    (folder / "provenance.jsonl").write_text(json.dumps(provenance) + "\n")
    (folder / "history.jsonl").write_text("".join(_history(accuracies, seconds)))
    if layers:
        (folder / "layers.jsonl").write_text("".join(_layers(cell, done, layers)))
    if state in ("done", "diverged", "untrained"):
        known = [value for value in accuracies if value is not None]
        result = {
            "state": state,
            "best_test_accuracy": max(known, default=None),
            "best_epoch": accuracies.index(max(known)) + 1 if known else None,
            "final_test_accuracy": known[-1] if known else None,
            "final_train_accuracy": known[-1] if known else None,
            "final_test_loss": 0.5 if known else None,
            "train_seconds": seconds[0] if known else None,
            "eval_seconds": seconds[1] if known else None,
            "epochs": done,
            "parameters": 24970,
            "shared_checksum": "5" * 64,
            "start_checksum": "6" * 64,
            "data_digest": "7" * 64,
            "device": device,
            "diverged": None,
        }
        files.write_json(folder / "result.json", result)
    return folder


def learning_curve(final: float, epochs: int, seed: int) -> list[float]:
    """Test accuracies that rise from chance (0.1) to about `final`, noisy at first, as OneCycle's curves do."""
    draw = random.Random(seed)
    final += draw.gauss(0, 0.004)
    curve = []
    for epoch in range(1, epochs + 1):
        share = epoch / epochs
        smooth = 0.1 + (final - 0.1) * (1 - math.exp(-6 * share)) / (1 - math.exp(-6))
        curve.append(min(1.0, max(0.1, smooth + draw.gauss(0, 0.03 * (final - 0.1) * (1 - share)))))
    return curve


def _history(accuracies: list[float | None], seconds: tuple[float, float]) -> list[str]:
    lines = []
    for epoch, accuracy in enumerate(accuracies, start=1):
        numbers = {"train_accuracy": accuracy, "test_accuracy": accuracy}
        numbers |= (
            {"train_loss": None, "test_loss": None} if accuracy is None else {"train_loss": 1.0, "test_loss": 1.0}
        )
        line = {"epoch": epoch, **numbers, "train_seconds": seconds[0], "eval_seconds": seconds[1], "lr": 0.01}
        lines.append(json.dumps(line) + "\n")
    return lines


def _layers(cell: CellConfig, epochs: int, layers: int) -> list[str]:
    draw = random.Random(cell.run_name)
    growth = {"conv": 0.3, "scs": 1.2, "cosine": 1.0, "sdp": 0.6}[cell.layer.name]
    lines = []
    for epoch in range(1, epochs + 1):
        share = epoch / epochs
        record = {
            f"layer{number}.conv": {
                "weight_norm": (3 + 2 * number) * (1 + growth * share) * math.exp(draw.gauss(0, 0.01)),
                "gradient_norm": 0.5 / number * math.exp(-4 * share + draw.gauss(0, 0.15)),
                "p": None if cell.layer.name == "conv" else [1.5, 2.5],
                "q": 1e-3 if cell.layer.name == "scs" else None,
            }
            for number in range(1, layers + 1)
        }
        lines.append(json.dumps({"epoch": epoch, "layers": record}) + "\n")
    return lines
