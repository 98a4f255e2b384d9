"""Measures and draws the saliency maps of a group of finished runs; what is done is kept in their folders.

python scripts/saliency.py study=quick saliency.min_accuracy=0
python scripts/saliency.py study=table4 saliency=smoothgrad saliency.picture=false
python scripts/saliency.py 'match=rohrer25k-*-cifar10-*'    (any runs, by their names)
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
from scs_study.analysis.saliency.study import saliency
from scs_study.command import (
    FAILED,
    chosen_study,
    matching_runs,
    results_folder,
    results_name,
    run_command,
)
from scs_study.evaluation.saliency.settings import saliency_of
from scs_study.runs.context import workplace
from scs_study.system.console import say
from scs_study.training.process import prepare_process


def main(config: DictConfig) -> int:
    """The exit status: 0 when every finished run could be read. Errors: ValueError when no run matches."""
    prepare_process()
    settings, place = saliency_of(config.saliency), workplace(config)
    if config.match:
        names, name = matching_runs(config)
        frame = collect(place.runs, names)
    else:
        study, cells = chosen_study(config)
        frame, name = study_frame(cells, place.runs), results_name(study)
    problems = saliency(frame, place, settings, results_folder(config, name))
    for sentence in problems:
        say(f"saliency: {sentence}")
    return FAILED if problems else 0


if __name__ == "__main__":
    run_command(main, "replicate")
