"""Images are decoded once; the cache is never half-written, never trusted when damaged, never a substitute."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scs_study.data.image_set import DataError
from scs_study.data.load import load_known
from scs_study.system import console
from tests.data.small_sets import COLOUR, draw, pinned, write_tree

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    write_tree(tmp_path / "colour", COLOUR, draw(COLOUR))
    return tmp_path / "cache"


def only_file(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


def test_what_is_cached_is_what_was_decoded(cache: Path) -> None:
    cold = load_known(COLOUR, None, cache, download=False)
    written = only_file(cache).stat().st_ino
    warm = load_known(COLOUR, None, cache, download=False)
    assert only_file(cache).stat().st_ino == written
    assert (warm.digest, warm.origin, warm.classes) == (cold.digest, cold.origin, cold.classes)
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(warm, name), getattr(cold, name))
        assert getattr(warm, name).dtype == getattr(cold, name).dtype


def test_with_the_cache_the_files_are_no_longer_needed(cache: Path) -> None:
    known = pinned(COLOUR, draw(COLOUR))
    cold = load_known(known, None, cache, download=False)
    shutil.rmtree(cache.parent / "colour")
    assert load_known(known, None, cache, download=False).digest == cold.digest == known.digest


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20_000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, lambda path: path.write_bytes(b"")])
def test_a_damaged_cache_is_set_aside_and_made_again(
    damage: Callable[[Path], None], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cold = load_known(COLOUR, None, cache, download=False)
    path = only_file(cache)
    damage(path)
    assert load_known(COLOUR, None, cache, download=False).digest == cold.digest
    aside = path.with_name(f"{path.name}.damaged-1")
    assert aside.is_file()
    message = capsys.readouterr().err
    assert message.startswith(f"{path} is damaged: ")
    assert message.endswith(f"; kept as {aside}, decoding again\n")
    assert load_known(COLOUR, None, cache, download=False).digest == cold.digest
    assert not capsys.readouterr().err  # what was made again is whole


def test_a_cache_of_other_images_does_not_pass_for_the_original(cache: Path) -> None:
    load_known(COLOUR, None, cache, download=False)
    other = draw(COLOUR, seed=1)
    known = pinned(COLOUR, other)
    with pytest.raises(DataError, match="is not the original Small Colour Set"):
        load_known(known, None, cache, download=False)
    write_tree(cache.parent / "elsewhere", COLOUR, other)
    assert load_known(known, cache.parent / "elsewhere", cache, download=False).digest == known.digest


def test_without_a_known_digest_a_cache_stands_only_for_the_files_it_was_made_from(cache: Path) -> None:
    first = load_known(COLOUR, None, cache, download=False)
    write_tree(cache.parent / "elsewhere", COLOUR, draw(COLOUR, seed=1))
    second = load_known(COLOUR, cache.parent / "elsewhere", cache, download=False)
    assert second.digest != first.digest
    assert load_known(COLOUR, None, cache, download=False).digest == first.digest


def test_where_the_cache_cannot_be_written_the_users_own_serves(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkout that is shared and read-only: here a file is where its cache should be, which root cannot write to."""
    own = cache.parent / "own"
    monkeypatch.setenv("XDG_CACHE_HOME", str(own))
    cache.write_text("")
    cold = load_known(COLOUR, None, cache, download=False)
    assert f"are kept in {own}/scs_study (not in {cache}: " in capsys.readouterr().err
    written = only_file(own / "scs_study").stat()
    assert load_known(COLOUR, None, cache, download=False).digest == cold.digest
    assert only_file(own / "scs_study").stat() == written
    assert capsys.readouterr().err == ""


def test_where_no_cache_can_be_written_the_images_are_decoded_and_it_is_said(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for nowhere in (str(cache / "below"), ""):  # not writable; no home at all
        monkeypatch.setenv("XDG_CACHE_HOME", nowhere)
        monkeypatch.setenv("HOME", str(cache / "home"))
        cache.write_text("")
        images = load_known(COLOUR, None, cache, download=False)
        assert images.digest == load_known(COLOUR, None, cache, download=False).digest
        error = capsys.readouterr().err
        assert error.startswith(f"the decoded images of Small Colour Set cannot be kept (not in {cache}: ")
        assert error.count("\n") == 1
        console._said.clear()


PREPARE = """
import sys, time
from pathlib import Path
from tests.data.small_sets import COLOUR
from scs_study.data.load import load_known
folder = Path(sys.argv[1])
for turn in range(10):
    (folder / f"ready{turn}").touch()
    while not (folder / f"go{turn}").exists():
        time.sleep(0.0002)
    print(load_known(COLOUR, folder / "colour", folder / f"turn{turn}" / "cache", download=False).digest, flush=True)
"""


def test_two_processes_may_prepare_the_same_cache_at_once(cache: Path) -> None:
    folder = cache.parent
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", PREPARE, str(folder)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        for turn in range(10):
            while not (folder / f"ready{turn}").exists():
                assert other.poll() is None
                time.sleep(0.0002)
            (folder / f"go{turn}").touch()
            ours = load_known(COLOUR, folder / "colour", folder / f"turn{turn}" / "cache", download=False)
            assert other.stdout.readline().strip() == ours.digest
            again = load_known(COLOUR, folder / "colour", folder / f"turn{turn}" / "cache", download=False)
            assert again.digest == ours.digest
            assert only_file(folder / f"turn{turn}" / "cache").suffix == ".safetensors"
    assert other.returncode == 0
