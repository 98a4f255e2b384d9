"""Published records: the same bytes for the same runs, everything text in them, nothing of the machine that trained."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from scs_study.evaluation.published import NUMBERS, evaluated
from scs_study.runs.archive import pack, place_weights, unpack

LINE = {
    "host": "hal",
    "platform": "Linux-1",
    "command": ["train.py", "runs=/home/ada/runs", "seed=1"],
    "commit": "c0ffee",
}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("b", "a"):
        folder = tmp_path / "runs" / name
        (folder / "robustness").mkdir(parents=True)
        (folder / "history.jsonl").write_text('{"epoch":1,"text":"line\\u2028separator"}\n{"epo')
        (folder / "robustness" / "pgd-1.jsonl").write_text("{}\n")
        (folder / "provenance.jsonl").write_text(json.dumps(LINE) + "\n")
        (folder / "weights.safetensors").write_bytes(b"\x00\xff")
        (folder / "steps.jsonl").write_text("{}\n")
    return tmp_path / "runs"


def test_what_was_packed_is_unpacked(runs: Path, tmp_path: Path) -> None:
    pack(runs, ["a", "b"], tmp_path / "records.jsonl.gz")
    assert unpack(tmp_path / "records.jsonl.gz", tmp_path / "again") == ["a", "b"]
    for name in ("history.jsonl", "robustness/pgd-1.jsonl"):
        assert (tmp_path / "again/a" / name).read_bytes() == (runs / "a" / name).read_bytes()
    assert not (tmp_path / "again/a/steps.jsonl").exists()
    assert not (tmp_path / "again/a/weights.safetensors").exists()


def test_numbers_and_weights_are_published_of_what_was_evaluated(runs: Path, tmp_path: Path) -> None:
    (runs / "a" / "saliency").mkdir()
    (runs / "a" / "saliency" / "measures-1.safetensors").write_bytes(b"\x00\xfe")
    (runs / "a" / "saliency" / "compact-1.safetensors").write_bytes(b"maps")
    (runs / "b" / "weights.safetensors").unlink()
    assert evaluated(runs, ["a", "b"]) == ["a"]
    pack(runs, ["a", "b"], tmp_path / "records.gz", numbers=NUMBERS)
    (placed,) = place_weights(runs, evaluated(runs, ["a", "b"]), tmp_path / "records.gz")
    assert placed.read_bytes() == b"\x00\xff"
    assert unpack(tmp_path / "records.gz", tmp_path / "again") == ["a", "b"]
    again = tmp_path / "again" / "a"
    assert (again / "saliency" / "measures-1.safetensors").read_bytes() == b"\x00\xfe"
    assert (again / "weights.safetensors").read_bytes() == b"\x00\xff"
    assert not (again / "saliency" / "compact-1.safetensors").exists()
    assert not (tmp_path / "again" / "b" / "weights.safetensors").exists()


def test_equal_runs_give_equal_bytes(runs: Path, tmp_path: Path) -> None:
    pack(runs, ["a", "b"], tmp_path / "1.gz")
    pack(runs, ["b", "a"], tmp_path / "2.gz")
    assert (tmp_path / "1.gz").read_bytes() == (tmp_path / "2.gz").read_bytes()


def test_nothing_of_the_machine_is_published(runs: Path, tmp_path: Path) -> None:
    pack(runs, ["a"], tmp_path / "records.gz")
    text = gzip.decompress((tmp_path / "records.gz").read_bytes()).decode()
    assert "hal" not in text
    assert "ada" not in text
    assert "c0ffee" in text
    assert "seed=1" in text


LEADS_OUT = gzip.compress(b'{"run":"../x","file":"f","text":""}\n', mtime=0)


@pytest.mark.parametrize("content", [b"", b"no archive", LEADS_OUT], ids=["empty", "no archive", "leads out"])
def test_a_damaged_archive_is_named(content: bytes, tmp_path: Path) -> None:
    archive = tmp_path / "records.jsonl.gz"
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"records\.jsonl\.gz is damaged"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "x").exists()
