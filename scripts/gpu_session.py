"""The first hour on a rented GPU: checks, the bench, then as much of a study as there is time for.

    bash scripts/gpu_session.sh [--time 50m] [--folder gpu_session] [--study paper] [overrides of the study ...]

Small records are written as it goes (session.jsonl, logs/, runs/, results/ below the folder), so a session that is cut
off costs its last minute; the same command goes on. Where there is no GPU it begins nothing, unless engine.device=cpu
says that it is only to be tried out. Exit status: 0 when all was good and the study is computed, 75 when all was good
and the time is up, 1 otherwise.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

from scs_study.command import FAILED, check_words, run_program
from scs_study.config.checks import time_span
from scs_study.runs.progress import duration
from scs_study.system.console import say
from scs_study.system.places import CODE, user_path
from scs_study.training.stopping import StopRequest

ARCHS = ("rohrer25k", "rohrer47k", "rohrer68k", "rohrer100k", "rohrer583k")
DEVICE = "engine.device="


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", default="50m", help="for all of it: 50m, 3000s")
    parser.add_argument("--folder", default="gpu_session", help="where all of it is written")
    parser.add_argument("--study", default="paper", help="whose cells are computed in the end")
    parser.add_argument("--seeds", type=int, default=4, help="of the ten cells each that are computed side by side")
    parser.add_argument("--archs", nargs="*", default=ARCHS, help="of the bench")
    parser.add_argument("--rounds", type=int, default=20, help="of the bench")
    parser.add_argument("overrides", nargs="*", help="of the study, such as train.numerics=tf32 data.root=/data")
    given = parser.parse_intermixed_args()
    seconds = time_span("--time", given.time)
    device = next((each.removeprefix(DEVICE) for each in given.overrides if each.startswith(DEVICE)), "cuda")
    check_words("replicate", [f"study={given.study}", *given.overrides])
    # Imported here: it takes seconds, and a wrong word is refused by now.
    import torch

    from scs_study.launch.campaign import UNFINISHED
    from scs_study.launch.gpu_session import GRACE, Session, campaign_of, parts_of

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("there is no GPU here that torch can use (nvidia-smi?), so nothing was begun")
    folder = user_path("--folder", given.folder).absolute()
    overrides = [each for each in given.overrides if not each.startswith(DEVICE)]

    def campaign(left: float) -> list[str]:
        return list(campaign_of(folder, given.study, device, left, overrides).command)

    # What the campaign would refuse after the bench is refused now.
    plan = [sys.executable, *campaign(seconds), "plan=true"]
    refused = subprocess.run(plan, cwd=CODE, capture_output=True, text=True, check=False)
    if refused.returncode:
        raise ValueError(refused.stderr.strip().removeprefix("error: "))
    with StopRequest().listening() as stop:
        session = Session(folder, seconds, environment.BEGUN + seconds, stop)
        folder.mkdir(parents=True, exist_ok=True)
        for part in parts_of(folder, device, given.seeds, given.archs, given.rounds):
            session.run(part)
        # Its tables and figures come after its budget.
        reserve = min(GRACE + 100.0, 0.15 * seconds)
        status = session.run(campaign_of(folder, given.study, device, session.left - reserve, overrides))
    took = duration(time.monotonic() - environment.BEGUN)
    wrong = f"not good: {', '.join(session.wrong)}" if session.wrong else "all was good"
    say(f"{wrong}; {took} of {duration(seconds)}; the records are in {folder}")
    return FAILED if session.wrong or status not in (0, UNFINISHED) else status


if __name__ == "__main__":
    run_program(main)
