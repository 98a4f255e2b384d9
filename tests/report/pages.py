"""A small study with claims to decide: made-up runs of real cells, and its page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from scs_study.analysis.claims.cells import Runs
from scs_study.analysis.claims.decide import decide
from scs_study.analysis.claims.load import load_claims
from scs_study.analysis.claims.speed import read_benchmark
from scs_study.config.schema import CellConfig
from scs_study.experiments.grid import load_study, plan
from scs_study.report.gather import gathered
from scs_study.report.page import Page, Section, page_of
from scs_study.report.repeat import commands
from scs_study.runs.provenance import PROVENANCE
from tests.analysis.run_folders import learning_curve, write_run

TITLE = "<b>R&D</b> \"quoted\" 'too' $x_1^{2}$ \\frac{a}{b} 100% #1 ~ </script><script>alert(1)</script>"
MESSAGE = "FileNotFoundError: /home/somebody/secret data/cifar/batch_1 on node17.cluster & <i>more</i>"
FINAL = {"conv": 0.70, "scs": 0.73, "sdp": 0.72}


def cells(seeds: Sequence[int] = (0, 1, 2), epochs: int = 12) -> list[CellConfig]:
    """The cells of table 3 at a few epochs."""
    plain = plan(load_study("table3"), {"train.epochs": epochs})
    return [dataclasses.replace(cell, seed=seed) for cell in plain for seed in seeds]


def write_study(runs: Path, planned: Sequence[CellConfig]) -> None:
    """Runs of all cells but one that failed, one that trains, and one that has not begun."""
    for number, cell in enumerate(planned):
        kind = len(planned) - number
        final = FINAL[cell.layer.name] - 0.4 * (cell.activation == "relu" and cell.pooling == "maxabs")
        curve = learning_curve(final, cell.train.epochs, number)
        if kind == 3:
            folder = write_run(runs, cell, curve[:4], state="failed", message=MESSAGE)
            (folder / PROVENANCE).write_text('{"commit": null, "device": "cpu", "host": "node17.cluster"}\n')
        elif kind == 2:
            write_run(runs, cell, curve[:5], state="running")
        elif kind > 3:
            write_run(runs, cell, curve)


def write_figures(folder: Path, kinds: Sequence[str] = ("saliency", "pgd", "curves"), width: int = 1000) -> None:
    """Pictures with the names that the analyses of the study give theirs, of noise, which no format makes small."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        noise = np.random.default_rng(0).integers(0, 256, (width // 2, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "figures" / f"{kind}-rohrer25k-cifar10.png")


def page(root: Path, planned: Sequence[CellConfig], title: str = TITLE) -> Page:
    """The page of the runs in root/runs, for root/results/study/report.html."""
    found = gathered({cell.run_name: cell.identity() for cell in planned}, [root / "runs"])
    verdicts = decide(load_claims(), Runs(found.by_place), read_benchmark())
    sections = [Section("study", title, "table3", found.frame, root / "results" / "study")]
    lines = commands(found.frame, ["STUDY=study"], "STUDY=study")
    file = root / "results" / "study" / "report.html"
    return page_of(title, "Report of a study", sections, found.folders, verdicts, lines, file, root / "results")
