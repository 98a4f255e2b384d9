"""What the files of a run's folder are called, and the states that its status.json can say."""

from __future__ import annotations

import time
from pathlib import Path

from scs_study.system import files

CONFIG, STATUS, RESULT, WEIGHTS, ERROR = "config.json", "status.json", "result.json", "weights.safetensors", "error.txt"
HISTORY, LAYERS, STEPS = "history.jsonl", "layers.jsonl", "steps.jsonl"
EPOCHS = (HISTORY, LAYERS, STEPS)
"""The files with a line for every epoch: losses and accuracies; layers; the layers' weight norms after every step."""
FINAL_STATES = ("done", "diverged", "untrained", "collapsed")
"""untrained: all epochs are there, the accuracy never left chance, and a layer's gradient left its bounds.
collapsed: all epochs are there, and the objective says what became one and the same (of a GAN: scores, or samples)."""


def write_status(folder: Path, state: str, epoch: int, epochs: int, message: str = "") -> None:
    """Write status.json with `state`, with `epoch` of `epochs` completed."""
    status = {"state": state, "epoch": epoch, "epochs": epochs, "message": message, "updated": time.time()}
    files.write_json(folder / STATUS, status)
