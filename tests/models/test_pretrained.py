"""Weights from a file: read safely, known by what they are and not by where they lie, refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from scs_study.models import initial_weights
from scs_study.models.initialization import draw, from_trained
from scs_study.models.pretrained import check_fit, read_checkpoint, scheme_of, store_checkpoint
from scs_study.models.resnet import resnet20
from scs_study.system.tensors import save_tensors


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {name: value.clone() for name, value in resnet20().state_dict().items()}


def test_every_layout_of_a_file_gives_the_same_weights(weights: dict[str, Tensor], tmp_path: Path) -> None:
    """As the public ResNet20 lies on disk: in a dict with its accuracy, every name behind DataParallel's prefix."""
    public = {"state_dict": {f"module.{name}": value for name, value in weights.items()}, "best_prec1": 91.78}
    torch.save(public, tmp_path / "public.th")
    torch.save(weights, tmp_path / "plain.pt")
    safetensors.torch.save_file(weights, tmp_path / "plain.safetensors")
    read = [read_checkpoint(path) for path in sorted(tmp_path.iterdir())]
    assert all(tensors.keys() == weights.keys() for tensors in read)
    assert len({scheme_of(tensors) for tensors in read}) == 1
    assert all(torch.equal(tensors["conv1.weight"], weights["conv1.weight"]) for tensors in read)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code of the file was run",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"state_dict": {"w": torch.ones(1)}, "harm": Harmful()}, "cannot be read as weights"),
        ({"best_prec1": 91.78}, "holds no weights"),
        ([1, 2], "holds no weights"),
    ],
)
def test_files_of_other_things_are_refused_and_their_code_is_not_run(
    content: object, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(content, tmp_path / "file.th")
    with pytest.raises(ValueError, match=sentence) as refusal:
        read_checkpoint(tmp_path / "file.th")
    assert str(tmp_path / "file.th") in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "was run" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["th", "safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"notes on a network\n", b"a", b"0", b"epoch,loss\n1,2.3\n", b"PK\x03\x04", b"\x80\x02.", b"\x89PNG\r\n",
     b'{"a": 1}', bytes(range(256)), b"\x08\0\0\0\0\0\0\0{}      "],
)  # fmt: skip
def test_a_file_of_any_other_kind_is_one_sentence(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"init\.checkpoint=.*: (cannot be read as weights|holds no weights)"
    ) as refusal:
        read_checkpoint(path)
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "value",
    [torch.ones(3).to_sparse(), torch.ones(3, device="meta"), torch.ones(3, dtype=torch.complex64)],
)
def test_weights_that_are_no_plain_numbers_are_refused(value: Tensor, tmp_path: Path) -> None:
    torch.save({"w": value}, tmp_path / "file.pt")
    with pytest.raises(ValueError, match=r"init\.checkpoint=.*(no plain real numbers|cannot be read as weights)"):
        read_checkpoint(tmp_path / "file.pt")


def test_kept_weights_that_are_others_than_their_name_says_are_found(
    weights: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store_checkpoint(weights, tmp_path)
    for content in ({**weights, "conv1.weight": weights["conv1.weight"] + 1}, None):
        if content is None:
            path.write_bytes(b"nothing")
        else:
            save_tensors(path, content)
        with pytest.raises(ValueError, match=r"holds other weights|is damaged"):
            initial_weights("resnet20", 0, scheme_of(weights), tmp_path)
        assert store_checkpoint(weights, tmp_path) == path
        assert "written anew" in capsys.readouterr().out
        initial_weights("resnet20", 0, scheme_of(weights), tmp_path)


@pytest.mark.parametrize("name", ["cut.th", "cut.safetensors"])
def test_a_damaged_or_missing_file_is_one_sentence(name: str, weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(ValueError, match="there is no such file"):
        read_checkpoint(path)
    torch.save(weights, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_checkpoint(path)


def test_kept_weights_are_what_every_variant_of_the_architecture_starts_from(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    path = store_checkpoint(weights, tmp_path)
    assert path.name == f"{scheme_of(weights)}.safetensors"
    shared = initial_weights("resnet20", 3, scheme_of(weights), tmp_path)
    assert all(torch.equal(shared.tensors[name], value) for name, value in weights.items())
    drawn = draw("resnet20", 3, "conv2d")
    assert torch.equal(shared.tensors["conv1.unit_p"], drawn["conv1.unit_p"])  # p starts as everybody's does
    assert shared.checksum != initial_weights("resnet20", 4, scheme_of(weights), tmp_path).checksum


def test_weights_saved_before_batchnorm_counted_its_batches_fit(weights: dict[str, Tensor], tmp_path: Path) -> None:
    old = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    assert len(old) < len(weights)
    store_checkpoint(old, tmp_path)
    shared = initial_weights("resnet20", 0, scheme_of(old), tmp_path)
    assert int(shared.tensors["bn1.num_batches_tracked"]) == 0


def test_weights_of_another_architecture_are_refused(weights: dict[str, Tensor], tmp_path: Path) -> None:
    store_checkpoint(weights, tmp_path)
    with pytest.raises(
        ValueError, match=r"these are not the weights of rohrer25k: the checkpoint lacks conv1.bias, conv2a"
    ):
        initial_weights("rohrer25k", 0, scheme_of(weights), tmp_path)
    with pytest.raises(ValueError, match=r"the checkpoint has also extra"):
        check_fit({**weights, "extra": torch.ones(1)}, weights, "resnet20", "x")
    with pytest.raises(ValueError, match=r"linear.bias has shape \(100,\), not \(10,\)"):
        check_fit({**weights, "linear.bias": torch.ones(100)}, weights, "resnet20", "x")
    with pytest.raises(ValueError, match=r"linear.bias is of type torch.int64, not torch.float32"):
        check_fit({**weights, "linear.bias": torch.ones(10, dtype=torch.int64)}, weights, "resnet20", "x")
    with pytest.raises(ValueError, match=r"there is no .*; give init\.checkpoint=<their file>"):
        initial_weights("resnet20", 0, "checkpoint-0123456789ab", tmp_path)


def test_a_trained_network_and_the_drawn_p_make_initial_weights(weights: dict[str, Tensor]) -> None:
    shared = from_trained("resnet20", 0, weights)
    assert shared.tensors.keys() == draw("resnet20", 0, "conv2d").keys()


@pytest.mark.parametrize(
    ("directions", "sizes"), [("uniform", "pretrained"), ("pretrained", "uniform"), ("pretrained", "conv2d")]
)
def test_resized_kernels_have_the_directions_of_one_and_the_norms_of_the_other(
    directions: str, sizes: str, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    trained = {name: 3 * value if value.is_floating_point() else value for name, value in weights.items()}
    trained["conv1.weight"][2] = 0  # a dead kernel has no direction, and stays at zero
    given = {
        scheme: initial_weights("resnet20", 0, scheme, tmp_path, trained).tensors for scheme in (directions, sizes)
    }
    shared = initial_weights("resnet20", 0, f"{directions}_sized_as_{sizes}", tmp_path, trained).tensors
    assert shared.keys() == given[directions].keys()
    for name, tensor in shared.items():
        if tensor.ndim != 4:
            assert torch.equal(tensor, given[directions][name]), name
            continue
        mine, way, size = (each.double().flatten(1) for each in (tensor, given[directions][name], given[sizes][name]))
        alive = (way.norm(dim=1) > 0) & (size.norm(dim=1) > 0)
        assert alive.sum() >= len(tensor) - 1
        assert torch.allclose(mine[alive].norm(dim=1), size[alive].norm(dim=1), rtol=1e-5)
        assert torch.allclose(torch.cosine_similarity(mine[alive], way[alive]), torch.ones(1).double(), atol=1e-6)
        assert not mine[~alive].any()


def test_resized_kernels_may_come_from_a_file(weights: dict[str, Tensor], tmp_path: Path) -> None:
    store_checkpoint(weights, tmp_path)
    file = scheme_of(weights)
    shared = initial_weights("resnet20", 0, f"uniform_sized_as_{file}", tmp_path)
    twin = initial_weights("resnet20", 0, "uniform_sized_as_pretrained", tmp_path, weights)
    assert shared.checksum == twin.checksum
    with pytest.raises(ValueError, match="init=pretrained: these weights are a trained network's, and none is given"):
        initial_weights("resnet20", 0, "uniform_sized_as_pretrained", tmp_path)
