"""A tensor file is what was saved, or it is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from scs_study.system.tensors import checksum, load_tensors, quarantine, save_tensors

TENSORS = {"weight": torch.randn(3, 2, generator=torch.Generator().manual_seed(0)), "step": torch.tensor(7.0)}


def test_tensors_and_notes_read_back_exactly(tmp_path: Path) -> None:
    total = save_tensors(tmp_path / "a.safetensors", TENSORS, {"epoch": 3, "lr": 0.1})
    tensors, notes = load_tensors(tmp_path / "a.safetensors")
    assert notes == {"epoch": 3, "lr": 0.1}
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert total == checksum(tensors)


def test_views_and_memory_formats_do_not_change_the_checksum() -> None:
    image = torch.randn(2, 3, 4, 4)
    assert checksum({"x": image}) == checksum({"x": image.to(memory_format=torch.channels_last)})
    assert checksum({"x": image}) != checksum({"x": image.transpose(2, 3)})
    assert checksum({"x": image}) != checksum({"y": image})
    assert checksum({"x": torch.zeros(0)}) != checksum({"x": torch.zeros(0, 2)})


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_damage_is_noticed_and_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, TENSORS)
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[:-5]
    elif damage == "flip":
        content[-3] ^= 1
    else:
        content = bytearray()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged"):
        load_tensors(path)


@pytest.mark.parametrize("header", [None, {}, {"about": "no JSON"}, {"about": "[1]"}, {"about": '{"checksum": 1}'}])
def test_a_tensor_file_of_another_program_is_refused(tmp_path: Path, header: dict[str, str] | None) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.torch.save(TENSORS, header))
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged: its header was not written by this project"):
        load_tensors(path)


def test_damaged_files_are_kept_aside_under_new_names(tmp_path: Path) -> None:
    names = []
    for content in ("first", "second"):
        (tmp_path / "a").write_text(content)
        names.append(quarantine(tmp_path / "a").name)
    assert names == ["a.damaged-1", "a.damaged-2"]
    assert (tmp_path / "a.damaged-1").read_text() == "first"
