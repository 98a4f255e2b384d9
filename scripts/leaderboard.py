"""Writes the leaderboard of parameter efficiency into its page, from run folders, records and others' entries.

python scripts/leaderboard.py                    (runs of the folder `runs`, and records in results/*/)
python scripts/leaderboard.py runs=elsewhere page=/tmp/page.md    (a page that is not there is begun)
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import read_command

if __name__ == "__main__":
    command = read_command("leaderboard")  # wrong words end here, before slow imports

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from scs_study.analysis.collect import collect
from scs_study.analysis.leaderboard import ours_of, page_text, read_settings
from scs_study.runs.archive import RECORDS, unpack
from scs_study.system.console import say
from scs_study.system.files import write_text
from scs_study.system.places import PROJECT, below_project

MARKED = re.compile(r"(<!-- leaderboard -->\n).*?(<!-- end -->)", re.DOTALL)


def main(config: DictConfig) -> int:
    """Return exit status 0. Raises ValueError for wrong entries, or a page without a marked place."""
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    datasets, published = read_settings({str(key): value for key, value in values.items()})
    page = below_project(config.page)
    text = page.read_text(encoding="utf-8") if page.exists() else "<!-- leaderboard -->\n<!-- end -->\n"
    if not (place := MARKED.search(text)):
        raise ValueError(f"page={config.page}: it has no place between <!-- leaderboard --> and <!-- end -->")
    places = [*sorted((PROJECT / "results").glob(f"*/{RECORDS}")), *map(below_project, config.folders)]
    frames = [collect(below_project(config.runs))]
    for each in places:
        with tempfile.TemporaryDirectory(prefix="scs_study-") as folder:
            if each.is_file():
                unpack(each, Path(folder))
            elif not each.is_dir():
                raise ValueError(f"folders: {each}: there is no such folder, nor published records of that name")
            frames.append(collect(Path(folder) if each.is_file() else each))
    whole = [frame.astype(object) for frame in frames if len(frame)]
    ours = ours_of(pd.concat(whole) if whole else frames[0])
    tables = page_text(datasets, published, ours)
    write_text(page, f"{text[: place.start()]}{place[1]}\n{tables}\n{place[2]}{text[place.end() :]}")
    say(f"{tables}\n  {page}")
    return 0


if __name__ == "__main__":
    command.run(main)
