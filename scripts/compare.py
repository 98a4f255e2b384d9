"""Two sets of runs side by side, paired by seed: python scripts/compare.py a=table3 b=table4

python scripts/compare.py 'a=rohrer68k-conv-*' 'b=rohrer68k-scs-*'    (any runs, by their names)
python scripts/compare.py a=results/gallery_100ep/records.jsonl.gz b=gallery_100ep    (published records)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()
from scs_study.command import read_command

if __name__ == "__main__":
    command = read_command("compare")  # wrong words end here, before slow imports

from omegaconf import DictConfig

from scs_study.analysis.collect import collect
from scs_study.analysis.compare.differences import METRICS, differences
from scs_study.analysis.compare.sides import Side, matched, side
from scs_study.analysis.compare.table import compare_text, write_compare
from scs_study.analysis.plots.compare import compare_figure
from scs_study.config.groups import near, options
from scs_study.config.schema import choice
from scs_study.experiments.grid import load_study, plan
from scs_study.runs.archive import SUFFIX, unpacked
from scs_study.selection import named_runs, refuse_match, results_folder, with_root
from scs_study.system.console import say
from scs_study.system.files import shortened
from scs_study.system.places import below_project


def main(config: DictConfig) -> int:
    """Exit status 0. Raises ValueError when a side has no runs, or nothing stands beside anything."""
    refuse_match(config)
    choice("metric", config.metric, METRICS)
    a, b = (chosen_side(key, config) for key in ("a", "b"))
    found = matched(a, b)
    each = differences(found, config.metric)
    words = "".join(c if c.isalnum() or c in "._-" else "_" for c in f"compare-{a.name}-{b.name}")
    folder = results_folder(config, shortened(words))
    say(compare_text(a.name, b.name, found, each, config.metric))
    paths = write_compare(a.name, b.name, found, each, config.metric, folder / "tables")
    for path in (*paths, *compare_figure(each, f"A = {a.name}, B = {b.name}", folder / "figures")):
        say(f"  {path}")
    return 0


def chosen_side(key: str, config: DictConfig) -> Side:
    """Return the runs that a=... or b=... names."""
    text, runs = config[key], below_project(config.runs)
    if text is None or text == "":
        raise ValueError(f"{key}=...: say which runs: a study, a pattern of run names, or published records")
    text = str(text).removeprefix("match=")
    if text in options("study"):
        cells = plan(load_study(text), with_root(config))
        frame = collect(runs, {cell.run_name: cell.identity() for cell in cells})
        if (frame["state"] == "missing").all():
            raise ValueError(f"{key}={text}: none of the study's {len(cells)} runs has started in {runs}")
        return side(text, frame, runs)
    if text.endswith(SUFFIX):
        place = below_project(text)
        folder = unpacked(place)
        return side(place.parent.name, collect(folder), folder)
    if not set("*?[") & set(text) and not (runs / text).is_dir():
        raise ValueError(f"{key}={text}: no study, no run and no pattern of run names{near(text, options('study'))}")
    return side(text, collect(runs, named_runs([runs], text, key)), runs)


if __name__ == "__main__":
    command.run(main)
