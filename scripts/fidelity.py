"""Judges the samples of finished adversarial runs, epoch by epoch; what is done is cached in their folders.

python scripts/fidelity.py study=gan_mnist_short
python scripts/fidelity.py 'match=dcgan-*' fidelity.samples=2000    (any runs, by their names; a first look)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

from omegaconf import DictConfig

from scs_study.analysis.collect import collect
from scs_study.analysis.publish import study_frame
from scs_study.analysis.registry import Subject, find_analysis, run_analysis
from scs_study.command import (
    FAILED,
    chosen_study,
    matching_runs,
    results_folder,
    results_name,
    run_command,
)
from scs_study.runs.context import run_context
from scs_study.training.process import prepare_process


def main(config: DictConfig) -> int:
    """Return the exit status: 0 when every finished run could be read. Raises ValueError when no run matches."""
    prepare_process()
    analysis, context = find_analysis("fidelity"), run_context(config)
    if config.match:
        names, name = matching_runs(config)
        frame = collect(context.runs, names)
    else:
        study, cells = chosen_study(config)
        frame, name = study_frame(cells, context.runs), results_name(study)
    subject = Subject(frame, context.runs, results_folder(config, name), context, config)
    return FAILED if run_analysis("fidelity", analysis, subject) else 0


if __name__ == "__main__":
    run_command(main, "replicate")
