"""Runs as event files of TensorBoard: the curves that every run records, under the names of its metrics and layers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scs_study.analysis.collect import history, layer_history
from scs_study.system import files
from scs_study.training.run_dir import CONFIG

SPLITS = ("train", "test")


def write_events(run: Path, to: Path) -> int:
    """Write a run's epochs as the event file of a folder of its name in `to`, and return how many there are.

    Tags: accuracy/train and so on for train_accuracy; other columns of history.jsonl as they are; weight_norm/<layer>,
    gradient_norm/<layer>, q/<layer>, and p/<layer> with the mean, smallest and largest of the kernels'. Steps are
    epochs. The settings are the text `settings`. What was there before is replaced.

    Raises ValueError where TensorBoard is not installed, or a file of the run is damaged.
    """
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise ValueError(f"TensorBoard is not installed ({error}): pip install 'scs-study[tensorboard]'") from None
    lines, layers = history(run), layer_history(run)
    folder = to / run.name
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        settings = files.read_bytes(run / CONFIG).decode()
        writer.add_text("settings", f"```json\n{settings}\n```", 0)
        for line in lines.to_dict("records"):
            for tag, value in _scalars(line):
                writer.add_scalar(tag, value, line["epoch"])
        for line in layers.to_dict("records"):
            for tag, value in _of_layer(line):
                writer.add_scalar(tag, value, line["epoch"])
    return len(lines)


def _scalars(line: Mapping[Any, Any]) -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        split, _, metric = str(name).partition("_")
        tag = f"{metric}/{split}" if split in SPLITS else str(name)
        if name != "epoch" and value == value:  # NaN: not recorded in that epoch
            yield tag, float(value)


def _of_layer(line: Mapping[Any, Any]) -> Iterator[tuple[str, float]]:
    for name in ("weight_norm", "gradient_norm", "q"):
        if line[name] is not None and line[name] == line[name]:
            yield f"{name}/{line['path']}", float(line[name])
    if line["p"]:
        of_kernels = [float(value) for value in line["p"]]
        yield f"p/{line['path']}/mean", sum(of_kernels) / len(of_kernels)
        yield f"p/{line['path']}/smallest", min(of_kernels)
        yield f"p/{line['path']}/largest", max(of_kernels)
