"""Simulates studies with a known truth and writes how often the statistics were right into docs/statistics.md.

python scripts/simulate.py studies=4000     (some minutes of one CPU core; the seed is `seed`)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import FAILED, read_command

if __name__ == "__main__":
    command = read_command("simulate")  # wrong words end here, before slow imports

from omegaconf import DictConfig

from scs_study.analysis.statistics.simulation import simulate, table
from scs_study.config.schema import whole
from scs_study.system.console import say
from scs_study.system.files import write_text
from scs_study.system.places import below_project

MARKED = re.compile(r"(<!-- simulated -->\n).*?(<!-- end -->)", re.DOTALL)


def main(config: DictConfig) -> int:
    """Return the exit status: 0 when every share lies in its band. Raises ValueError for a page without a marked
    place.
    """
    page = below_project(config.page)
    text = page.read_text()
    if not MARKED.search(text):
        raise ValueError(f"page={config.page}: it has no place between <!-- simulated --> and <!-- end -->")
    checks = []
    for check in simulate(whole("studies", config.studies, 50), whole("seed", config.seed, 0)):
        say(f"{'' if check.holds() else 'NOT AS WANTED  '}{check.subject}, {check.truth}: {check.share:.3f}")
        checks.append(check)
    write_text(page, MARKED.sub(lambda found: f"{found[1]}\n{table(checks)}\n{found[2]}", text))
    return 0 if all(check.holds() for check in checks) else FAILED


if __name__ == "__main__":
    command.run(main)
