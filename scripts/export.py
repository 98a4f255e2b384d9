"""Writes a finished run's network as a file that needs nothing of this project: ONNX, torch.export or Keras.

python scripts/export.py run=rohrer68k-scs-none-maxabs-cifar10-100ep-s0-5dcfd06f1ed5 format=onnx
The file takes pixels, uint8 (images, height, width, channels), and gives logits. It is read back and compared with the
trained network on test images first, and kept only where the two agree.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import read_command

if __name__ == "__main__":
    command = read_command("export")  # wrong words end here, before slow imports

from omegaconf import DictConfig

from scs_study.config.schema import choice, whole
from scs_study.evaluation.trained import load_trained
from scs_study.export import FORMATS, export_run
from scs_study.runs.context import run_context
from scs_study.selection import refuse_match
from scs_study.system.console import say
from scs_study.system.places import below_project, user_path
from scs_study.training.process import prepare_process


def main(config: DictConfig) -> int:
    """Return the exit status: 0 when the file is written. Raises ValueError where it cannot be, or does not agree."""
    prepare_process()
    refuse_match(config)
    form, count = choice("format", config.format, FORMATS), whole("images", config.images, 1)
    context = run_context(config)
    trained = load_trained(folder_of(config.run, context.runs))
    images = context.images(trained.cell.data, download=True)
    exported = export_run(trained, images, form, below_project(config.to), count)
    say(f"{exported.file}: {exported.file.stat().st_size / 1e6:.2f} MB; {exported.agreement}")
    return 0


def folder_of(run: object, runs: Path) -> Path:
    """Return the folder of a run that is named, or given as a path. Raises ValueError where there is none."""
    if run is None or run == "":
        raise ValueError("run= is missing: the name of a finished run, or the path of its folder")
    named = runs / str(run) if "/" not in str(run) else user_path("run", run)
    if not named.is_dir():
        raise ValueError(f"run={run}: there is no such folder of a run; make status lists a study's")
    return named


if __name__ == "__main__":
    command.run(main)
