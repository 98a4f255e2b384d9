"""Trains one run, or with -m a grid of them: python scripts/train.py -m arch=rohrer25k layer=conv,scs seed=0,1

The runs land in the same folders as a study's, so a study finds them done.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import FAILED, read_command

if __name__ == "__main__":
    command = read_command("config")  # wrong words end here, before slow imports

from omegaconf import DictConfig

from scs_study.experiments.compose import CELL_GROUPS, cell_of, compose_cell, override_values, parse_overrides
from scs_study.experiments.grid import cell_overrides, with_parents
from scs_study.launch.inline import inline
from scs_study.models import check_cell
from scs_study.runs.context import check_checkpoint, place_checkpoint, run_context
from scs_study.runs.provenance import tell_unknown_commit
from scs_study.selection import task_overrides
from scs_study.system.console import say
from scs_study.training.objectives.registry import check_objective
from scs_study.training.process import prepare_process


def check(arguments: list[str]) -> None:
    """Raise ValueError for the first cell of the command's grid that cannot be run."""
    swept = {o.key_or_group: override_values(o) for o in parse_overrides(arguments)}
    cells = {k: v for k, v in swept.items() if k.partition(".")[0] in CELL_GROUPS}
    seeds = swept.get("seed", [0])
    grid = []
    for point in itertools.product(*cells.values()):
        chosen = dict(zip(cells, point, strict=True))
        choices = {key: value for key, value in chosen.items() if key in CELL_GROUPS}
        settings = {key: value for key, value in chosen.items() if key not in CELL_GROUPS}
        grid += [compose_cell(choices, settings, seed) for seed in seeds]
    for cell in grid:
        check_cell(cell)
        check_objective(cell)
    check_checkpoint(grid, {"init.checkpoint": swept.get("init.checkpoint", [None])[0]})


def main(config: DictConfig) -> int:
    """Return the exit status of one run."""
    prepare_process()
    cell, context = cell_of(config), run_context(config)
    place_checkpoint(config, [cell], cell_overrides(task_overrides()))
    tell_unknown_commit()
    context.images(cell.data, download=True)
    context.check_batches([cell])
    outcome = inline(with_parents([cell]), context)[cell.run_name]
    say(f"{context.runs / cell.run_name}: {outcome.state}")
    return FAILED if outcome.state == "failed" else 0


if __name__ == "__main__":
    command.run(main, check)
