"""Cached results are found by what they depend on, for as long as their files are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scs_study.evaluation.cache import (
    append_record,
    cache_path,
    load_result,
    read_records,
    resume_records,
    store_result,
)

MAPS = {"method": "gradient", "target": "predicted", "output": "logit", "steps": None, "samples": None, "noise": None}
KEY = {
    "format": 1,
    "run": "r",
    "weights": "w",
    "data": "d",
    "maps": MAPS,
    "top": 0.05,
    "seed": 0,
    "first": 0,
    "last": 500,
}


def number(line: dict[str, Any]) -> int:
    return int(line["number"])


def test_files_keep_their_names(tmp_path: Path) -> None:
    """What was cached under a name once must be found under it ever after."""
    assert cache_path(tmp_path, "measures", KEY, ".safetensors").name == "measures-4260df789953.safetensors"
    assert cache_path(tmp_path, "measures", dict(reversed(KEY.items())), "").name == "measures-4260df789953"


def test_a_result_is_found_by_its_key_alone(tmp_path: Path) -> None:
    store_result(tmp_path, "measures", KEY, ({"x": torch.arange(3.0)}, {"n": 1}))
    found = load_result(tmp_path, "measures", KEY)
    assert found is not None
    assert found[0]["x"].tolist() == [0, 1, 2]
    assert found[1] == {"n": 1}
    assert load_result(tmp_path, "measures", {**KEY, "seed": 1}) is None
    assert load_result(tmp_path, "curves", KEY) is None


def test_a_result_of_other_settings_than_its_name_says_is_quarantined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_result(tmp_path, "measures", KEY, ({"x": torch.zeros(1)}, {}))
    other = {**KEY, "seed": 1}
    path = cache_path(tmp_path, "measures", other, ".safetensors")
    cache_path(tmp_path, "measures", KEY, ".safetensors").rename(path)
    assert load_result(tmp_path, "measures", other) is None
    assert not path.exists()
    assert "damaged-1, computing it again" in capsys.readouterr().err


def test_records_are_appended_and_a_half_written_one_is_none(tmp_path: Path) -> None:
    path = cache_path(tmp_path, "pgd", KEY, ".jsonl")
    assert read_records(path, KEY, number) == []
    assert resume_records(path, KEY, number) == []
    for value in (3, 4):
        append_record(path, KEY, value, {"number": value}, number)
    path.write_bytes(path.read_bytes() + b'{"num')
    assert read_records(path, KEY, number) == [3, 4]
    append_record(path, KEY, 5, {"number": 5}, number)
    assert resume_records(path, KEY, number) == [3, 4, 5]


def test_a_damaged_record_is_named_by_its_line_and_its_file_begins_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cache_path(tmp_path, "pgd", KEY, ".jsonl")
    resume_records(path, KEY, number)
    append_record(path, KEY, 3, {"number": 3}, number)
    append_record(path, KEY, 4, {"other": 4}, number)
    with pytest.raises(ValueError, match=r"line 3, is damaged"):
        read_records(path, KEY, number)
    assert resume_records(path, KEY, number) == []
    assert path.with_name(f"{path.name}.damaged-1").exists()
    assert len(capsys.readouterr().err.splitlines()) == 1
