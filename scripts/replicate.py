"""Runs a study and prints its tables: python scripts/replicate.py study=quick [plan=true|json] [train.epochs=2 ...]"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import FAILED, read_command

if __name__ == "__main__":
    command = read_command("replicate", {"--detach": "launch.detach=true"})  # wrong words end here, before slow imports

from omegaconf import DictConfig

from scs_study.analysis.claims.load import load_claims
from scs_study.analysis.claims.speed import read_benchmark
from scs_study.analysis.publish import publish_figures, publish_tables, study_frame
from scs_study.analysis.registry import check_analyses, check_images, run_analyses
from scs_study.config.schema import choice
from scs_study.experiments.grid import Study, SubStudy, cell_overrides, merged, with_parents
from scs_study.launch.campaign import UNFINISHED, Campaign, in_order
from scs_study.launch.registry import budget_of, forecast, incomplete, launch, processes, timed
from scs_study.launch.status import plan_records, status_text
from scs_study.models.variant import check_cell, remarks
from scs_study.report.gather import collected
from scs_study.report.repeat import study_line
from scs_study.report.study import NAME, Chosen, of_studies, write_report
from scs_study.runs.context import RunContext, check_checkpoint, place_checkpoint, run_context
from scs_study.runs.provenance import tell_unknown_commit
from scs_study.runs.state import Outcome, run_states
from scs_study.selection import chosen_sub_studies, refuse_match, results_folder, results_name, task_overrides
from scs_study.system.console import lost, say
from scs_study.system.places import below_project
from scs_study.training.objectives.registry import check_objective
from scs_study.training.process import prepare_process
from scs_study.training.run_dir import FINAL_STATES


def main(config: DictConfig) -> int:
    """Return the exit status: 0 when every cell has a result, UNFINISHED when the time budget did not suffice."""
    refuse_match(config)
    budget = budget_of(config)
    prepare_process()
    study, subs = chosen_sub_studies(config)
    cells = merged(study, subs)
    work = with_parents(cells)
    for cell in work:
        check_cell(cell)
        check_objective(cell)
    runs = below_project(config.runs)
    plan = choice("plan", str(config.plan).lower(), ("false", "true", "json"))
    if plan != "false":
        say(status_text(work, runs) if plan == "true" else json.dumps(plan_records(work, runs), indent=1))
        return FAILED if lost() else 0  # to be read is all that a plan is for
    overrides = cell_overrides(task_overrides())
    check_checkpoint(cells, overrides)
    place_checkpoint(config, cells, overrides)
    context, folder = run_context(config), results_folder(config, results_name(study))
    check_analyses(subs, config)
    missing, parents = incomplete(work, runs), len(work) - len(cells)
    also = f" ({parents} of them parent runs that others start from)" if parents else ""
    done = len(work) - len(missing)
    say(f"{study.name}: {study.title}\n{len(work)} cells{also}, {done} done already")
    if missing:
        tell_unknown_commit()
    for data in dict.fromkeys(cell.data for cell in missing):
        context.images(data, download=True)
    context.check_batches(missing)
    check_images(subs, missing, context, config)
    for remark in remarks(missing):
        say(f"note: {remark}")
    costs = timed(missing, context, config)
    if words := forecast(missing, costs, context, config):
        say(words)
    ordered = in_order(study.order, work, subs, context, costs)
    campaign = Campaign.begin(missing, context, costs, budget, processes(missing, context, config))
    outcomes = launch(study.name, ordered, context, config, campaign.deadline)
    if outcomes is None:
        return 0
    ended, out_of_time = time.monotonic(), campaign.out_of_time
    problems: list[str] = []
    if not out_of_time or any(state.state != "missing" for state in run_states(runs, cells).values()):
        problems = publish(study, subs, context, config, folder)
    failed = say_left(outcomes, runs, out_of_time)
    words = campaign.describe(ended, failed) if out_of_time else ""
    if words:
        say(words)
    if failed or problems:
        return FAILED
    left = any(outcome.state not in FINAL_STATES for outcome in outcomes.values())
    return UNFINISHED if words else FAILED if left else 0


def publish(study: Study, subs: Sequence[SubStudy], context: RunContext, config: DictConfig, folder: Path) -> list[str]:
    """Write tables, figures, analyses and the report of what there is; return what went wrong in the analyses."""
    runs = context.runs
    frame = study_frame(merged(study, subs), runs)
    say(publish_tables(subs, frame, runs, folder))
    say(publish_figures(subs, frame, runs, folder))
    problems = run_analyses(subs, context, config, folder)
    chosen = Chosen(study, subs, folder, study_line(study, task_overrides()))
    reported = of_studies([chosen], collected(frame, runs))
    page = write_report(reported, load_claims(), read_benchmark(), folder / NAME, below_project(config.results))
    say(f"{page.tally}\n  {folder / NAME}")
    return problems


def say_left(outcomes: Mapping[str, Outcome], runs: Path, out_of_time: bool) -> list[str]:
    """Say which runs have no result, and why; return those that failed."""
    for name, outcome in outcomes.items():
        if outcome.state not in (*FINAL_STATES, "failed") and not (out_of_time and outcome.state == "busy"):
            say(f"left: {name}: {outcome.state}")
    failed = [name for name, outcome in outcomes.items() if outcome.state == "failed"]
    for name in failed:
        say(f"failed: {name}: {outcomes[name].message} (see {runs / name / 'error.txt'})")
    return failed


if __name__ == "__main__":
    command.run(main)
