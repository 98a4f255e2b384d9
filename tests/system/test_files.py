"""Files are replaced whole, and a line that was being written when its writer died is no line."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scs_study.system import files


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    files.write_json(tmp_path / "deep" / "a.json", {"accuracy": 0.1, "layers": [1, 2]})
    assert files.read_json(tmp_path / "deep" / "a.json") == {"accuracy": 0.1, "layers": [1, 2]}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"epoch": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"loss": float("nan")})
    with pytest.raises(TypeError):
        files.write_bytes(path, "text, not bytes")  # type: ignore[arg-type]
    assert files.read_json(path) == {"epoch": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text('{"state": "run')
    with pytest.raises(ValueError, match=r"status\.json is damaged"):
        files.read_json(path)


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_an_unfinished_last_line_is_left_out(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "history.jsonl"
    files.append_line(path, {"epoch": 1})
    whole = path.read_bytes()
    path.write_bytes(whole + json.dumps({"epoch": 2}).encode()[:cut])
    assert files.read_lines(path) == [{"epoch": 1}]


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"epoch":1}\n{"epo\x00\n{"epoch":3}\n')
    with pytest.raises(ValueError, match=r"history\.jsonl, line 2, is damaged"):
        files.read_lines(path)


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    assert files.read_lines(tmp_path / "history.jsonl") == []


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127, "a" * 300, "ü" * 200, "\udcff" * 250])
def test_a_name_that_is_too_long_is_cut_and_stays_one_of_its_own(name: str, tmp_path: Path) -> None:
    short, other = files.shortened(name), files.shortened(name + "b")
    assert len(short.encode(errors="surrogateescape")) <= files.LONGEST
    assert short != other
    assert files.shortened(name[:60]) == name[:60]
    files.write_json(tmp_path / f"{short}.json", 1)


def test_the_longest_name_that_a_file_system_takes_can_be_written(tmp_path: Path) -> None:
    files.write_text(tmp_path / ("a" * 255), "x")
    assert (tmp_path / ("a" * 255)).read_text() == "x"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("a/" + "b" * 256, "has 256 bytes"),
        ("ü" * 128, "has 256 bytes"),
        ("a/" * 2000, "too long"),
        ("a\0b", "character 0"),
    ],
)
def test_a_path_that_no_file_system_takes_is_refused(path: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"results.*{sentence}"):
        files.check_path("results", Path(path))
    files.check_path("results", Path("a" * 255))


def test_a_file_that_another_node_has_just_replaced_is_asked_for_again(tmp_path: Path) -> None:
    """GlusterFS and NFS call it stale for a while."""
    answers: Iterator[int] = iter([errno.ESTALE, errno.ESTALE, 0])

    def look() -> str:
        if number := next(answers):
            raise OSError(number, os.strerror(number))
        return "found"

    assert files.fresh(look) == "found"
    with pytest.raises(FileNotFoundError):
        files.fresh((tmp_path / "missing").read_bytes)
