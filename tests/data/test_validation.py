"""A folder's images in three parts: what is chosen by is neither trained on nor tested, whoever judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from scs_study.data.image_folder import ImageFolder, Members, read_folder
from scs_study.data.image_set import DataError
from scs_study.experiments.compose import compose_cell
from tests.data.own_sets import write_flat, write_own

SHARES = {"data.test_share": 0.1, "data.validation_share": 0.2}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flat(tmp_path_factory.mktemp("flat"), count=30)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of folders does not go into the project's data/."""
    monkeypatch.setattr("scs_study.experiments.compose.PROJECT", tmp_path)


def hashes(members: Members) -> list[set[str]]:
    return [{file.hash for file in of_class} for of_class in members]


def test_the_three_parts_share_no_image_and_leave_none_out(root: Path, tmp_path: Path) -> None:
    folder: ImageFolder = read_folder(root, tmp_path)
    train, test = map(hashes, folder.split(0.1, 0, 0.2))
    same, validation = map(hashes, folder.split(0.1, 0, 0.2, "validation"))
    assert train == same
    for every, a, b, c in zip(hashes(folder.train), train, test, validation, strict=True):
        assert (len(a), len(b), len(c)) == (21, 3, 6)
        assert a | b | c == every
    assert hashes(folder.split(0.1, 0)[1]) == test  # the test images are those of a split without the third part
    assert hashes(folder.split(0.1, 1, 0.2)[1]) != test


def test_a_class_needs_an_image_for_each_part(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "two", count=2)
    folder = read_folder(root, tmp_path)
    assert [len(of_class) for of_class in folder.split(0.1, 0)[0]] == [1, 1, 1]
    with pytest.raises(DataError, match="has 2 images, which cannot be split into training, validation and test"):
        folder.split(0.1, 0, 0.2)


def test_who_judges_and_what_is_kept_aside_are_part_of_a_runs_name(root: Path) -> None:
    def named(**more: object) -> str:
        return compose_cell({"data": "folder"}, {"data.root": str(root), **more}, 0).run_name  # type: ignore[dict-item]

    names = [named(), named(**SHARES), named(**SHARES, **{"data.judge": "validation"})]
    assert len(set(names)) == 3
    assert "folder_validation" in names[2]


@pytest.mark.parametrize(
    ("data", "settings", "sentence"),
    [
        ("folder", {"data.judge": "validation"}, r"needs data\.validation_share"),
        ("folder", {"data.judge": "me"}, "choose from test, validation"),
        ("folder", {"data.test_share": 0.5, "data.validation_share": 0.46}, "less than a twentieth"),
        ("digits", {"data.validation_share": 0.2}, "has no effect on data.name=digits"),
    ],
)
def test_what_makes_no_sense_is_refused(root: Path, data: str, settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        compose_cell({"data": data}, {"data.root": str(root), **settings}, 0)


def test_a_folder_with_a_split_of_its_own_keeps_it(tmp_path: Path) -> None:
    root = write_own(tmp_path / "own", train=4, test=2)
    cell = compose_cell({"data": "folder"}, {"data.root": str(root), **SHARES}, 0)
    assert cell.run_name == compose_cell({"data": "folder"}, {"data.root": str(root)}, 0).run_name
    assert cell.data.validation_share is None
