"""The attention analysis on networks that were trained for an epoch on a few images: it measures what there is."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest
import torch

from scs_study.analysis.attention import ANALYSIS
from scs_study.analysis.collect import collect
from scs_study.analysis.registry import Subject
from scs_study.data import ImageSet
from scs_study.experiments.grid import load_study, plan
from scs_study.runs.context import RunContext
from scs_study.runs.run_one import run_cell
from scs_study.training.run import Settings


def few() -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    train, test = (torch.randint(256, (n, 32, 32, 3), dtype=torch.uint8, generator=generator) for n in (40, 20))
    return ImageSet(train, torch.arange(40) % 10, test, torch.arange(20) % 10, (), "few", "")


def test_the_published_attention_has_no_part_before_and_after_training_and_softmax_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [
        dataclasses.replace(cell, train=dataclasses.replace(cell.train, epochs=1, batch_size=20))
        for cell in plan(load_study("cct"))
        if cell.seed == 0
    ]
    place = RunContext(tmp_path / "runs", Settings(torch.device("cpu")), None, tmp_path)
    place._images[cells[0].data.images_key] = few()
    for cell in cells:
        outcome = run_cell(cell, place)
        assert outcome.state == "done", outcome
    frame = collect(place.runs, {cell.run_name: cell.identity() for cell in cells})
    subject = Subject(frame, place.runs, tmp_path / "results", place)
    assert ANALYSIS.compute is not None
    assert ANALYSIS.compute(subject) == []
    paths = ANALYSIS.report(subject)
    printed = capsys.readouterr().out
    assert "preliminary" in printed
    (table,) = (path for path in paths if path.suffix == ".csv")
    with table.open() as file:
        rows = {row["attention"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {"cct2", "cct2_scs_published", "cct2_scs", "cct2_scs_rows"}
    for when in ("part at start", "at end"):
        assert float(rows["cct2_scs_published"][when]) == 0
        assert float(rows["cct2"][when]) > 0.005
