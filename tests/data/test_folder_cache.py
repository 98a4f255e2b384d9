"""What is cached of a folder of images: believed as long as nothing has changed, never missed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from scs_study.data import DataError, load_images
from tests.data.own_folder import config, load
from tests.data.own_sets import write_flat


def test_a_second_look_reads_no_image(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in root.rglob("*.*"):
        os.utime(path, (1e9, 1e9))
    wait_until_settled(root, monkeypatch)
    first = load(root, tmp_path)

    reads = Path.read_bytes

    def counted(path: Path) -> bytes:
        assert not path.is_relative_to(root), f"{path} is read again"
        return reads(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    assert load(root, tmp_path).digest == first.digest


def wait_until_settled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of the index be an hour ahead, as if the files had long been written."""
    import time

    now = time.time_ns
    monkeypatch.setattr("scs_study.data.file_hashes.time.time_ns", lambda: now() + 3600 * 10**9)


def test_a_change_that_keeps_size_and_mtime_is_seen(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until_settled(root, monkeypatch)
    before = config(root, tmp_path).digest
    path = root / "train" / "ant" / "011.bmp"
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert config(root, tmp_path).digest != before


def test_what_has_just_been_written_is_not_trusted(root: Path, tmp_path: Path) -> None:
    """Within the grain of a file system's clock a file may change and keep its times."""
    config(root, tmp_path)
    assert not list(tmp_path.glob("folder-files-*.json"))


def test_images_that_changed_after_the_run_was_named_are_refused(root: Path, tmp_path: Path) -> None:
    data = config(root, tmp_path)
    (root / "train" / "ant" / "000.png").unlink()
    with pytest.raises(DataError, match="these images are not those that the run is named after"):
        load_images(data, root, tmp_path, download=False)


def test_with_what_is_kept_the_folder_is_no_longer_needed(root: Path, tmp_path: Path) -> None:
    data = config(root, tmp_path)
    first = load_images(data, root, tmp_path, download=False)
    shutil.rmtree(root)
    for place in (root, None):
        assert load_images(data, place, tmp_path, download=False).digest == first.digest
    shutil.rmtree(tmp_path / f"{data.images_key}-1")
    with pytest.raises(DataError, match="its decoded images are not kept"):
        load_images(data, root, tmp_path, download=False)


@pytest.mark.parametrize("file", ["train_images.npy", "test_labels.npy", "about.json"])
@pytest.mark.parametrize("how", ["cut", "flip", "remove", "empty"])
def test_what_is_kept_and_damaged_is_made_again(
    file: str, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_flat(tmp_path / "root", 4)
    first = load(root, tmp_path)
    (kept,) = tmp_path.glob("folder-*-1")
    path = kept / file
    content = bytearray(path.read_bytes())
    del first  # its pixels are mapped from the file
    if how == "cut":
        path.write_bytes(content[:-3])
    elif how == "flip":
        content[-3] ^= 1
        path.write_bytes(content)
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    images = load(root, tmp_path)
    assert len(images.train_labels) == 9
    assert f"{kept} is damaged" in capsys.readouterr().err
    assert kept.with_name(f"{kept.name}.damaged-1").is_dir()


def test_where_nothing_can_be_kept_they_are_decoded_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_flat(tmp_path / "root", 4)
    (tmp_path / "file").write_text("")
    expected = load(root, tmp_path)
    images = load(root, tmp_path / "file" / "cache")
    assert images.digest == expected.digest
    assert "cannot be kept" in capsys.readouterr().err


def test_images_beyond_the_memory_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_flat(tmp_path / "root", 4)
    need = 3 * (9 * (48 + 8) * (40 + 8) + 3 * 48 * 40)
    monkeypatch.setattr("scs_study.data.memory.free_memory", lambda: need)
    load(root, tmp_path)
    monkeypatch.setattr("scs_study.data.memory.free_memory", lambda: need - 1)
    with pytest.raises(DataError, match=r"need 0\.0 GB of memory \(9 \+ 3 images of 48x40 pixels and 3 channels\)"):
        load(root, tmp_path / "elsewhere")
    assert not list((tmp_path / "elsewhere").glob("folder-*-1"))
