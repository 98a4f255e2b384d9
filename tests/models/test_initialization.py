"""All variants of an architecture and seed start from the same bytes, and see the same batches (paper section 3.1)."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import nn

from scs_study.config.schema import DRAWN, OWN
from scs_study.data import Batches, load_images
from scs_study.experiments.compose import compose_cell
from scs_study.models import ARCHITECTURES, build_variant, initial_weights
from scs_study.models.initialization import UNIT_P, draw
from scs_study.system.tensors import save_tensors

LAYERS = ("conv", "scs", "scs_mar2022", "sdp", "cosine")


@pytest.mark.parametrize("scheme", [scheme for scheme in DRAWN if scheme != OWN])
@pytest.mark.parametrize("arch", ["rohrer25k", "rohrer100k"])
def test_all_variants_start_from_byte_identical_shared_tensors(arch: str, scheme: str, tmp_path: Path) -> None:
    shared = initial_weights(arch, 3, scheme, tmp_path)
    for layer, activation, pooling in itertools.product(LAYERS, ("none", "relu"), ("max", "maxabs")):
        choices = {"arch": arch, "layer": layer, "activation": activation, "pooling": pooling, "init": scheme}
        state = build_variant(compose_cell(choices, {}, seed=3), shared.tensors).state_dict()
        common = state.keys() & shared.tensors.keys()
        kernels = {name for name in shared.tensors if name.startswith("conv") and name.endswith("weight")}
        assert kernels | {"head.weight", "head.bias"} <= common
        for name in common:
            assert state[name].numpy().tobytes() == shared.tensors[name].numpy().tobytes(), (layer, name)


def test_scs_and_sdp_of_a_seed_start_from_the_same_p() -> None:
    shared = draw("rohrer25k", 0, "conv2d")
    starts = []
    for layer in ("scs", "sdp"):
        module = build_variant(compose_cell({"layer": layer}, {"layer.p_init": [1.0, 3.0]}, 0), shared).get_submodule(
            "conv1"
        )
        starts.append(module.p)
        assert ((module.p >= 1) & (module.p <= 3)).all()
        assert len(module.p.unique()) > 70  # of 80 kernels: one draw a kernel
    assert torch.equal(starts[0], starts[1])


def test_march_layers_start_at_p_e_and_q_1_over_e() -> None:
    network = build_variant(compose_cell({"layer": "scs_mar2022"}, {}, 0), draw("rohrer25k", 0, "conv2d"))
    module = network.get_submodule("conv1")
    assert torch.allclose(module.p, torch.full((80,), torch.e))
    assert torch.allclose(module.q, torch.tensor(1 / torch.e))


def test_by_its_own_law_a_layer_starts_as_its_authors_start_it_and_all_else_as_before() -> None:
    def start(layer: str, seed: int, init: str = OWN) -> dict[str, torch.Tensor]:
        cell = compose_cell({"layer": layer, "arch": "rohrer68k", "init": init}, {}, seed)
        return build_variant(cell, draw("rohrer68k", seed, init)).state_dict()

    rohrer, wang, common = start("scs", 0), start("wang", 0), start("scs", 0, "conv2d")
    assert {name for name in common if not torch.equal(common[name], rohrer[name])} == {
        f"conv{place}.weight" for place in (1, 2, 3)
    }, "p is drawn for all alike, and the head is nobody's layer"
    flat = rohrer["conv3.weight"].flatten()
    assert flat.abs().max() <= 1
    assert flat.std().item() == pytest.approx(3**-0.5, rel=0.02), "U(-1, 1)"
    xavier = wang["conv3.weight"]
    fans = (xavier[0].numel() + xavier[:, 0].numel()) / 2
    assert xavier.std().item() == pytest.approx(fans**-0.5, rel=0.02), "Xavier normal"
    again, other = start("scs", 0), start("scs", 1)
    assert torch.equal(rohrer["conv1.weight"], again["conv1.weight"])
    assert not torch.equal(rohrer["conv1.weight"], other["conv1.weight"])


def test_seeds_and_architectures_draw_other_numbers() -> None:
    first = draw("rohrer68k", 0, "conv2d")["conv1.weight"]
    assert torch.equal(first, draw("rohrer68k", 0, "conv2d")["conv1.weight"])
    assert not torch.equal(first, draw("rohrer68k", 1, "conv2d")["conv1.weight"])


def test_drawing_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    shared = draw("rohrer25k", 5, "uniform")
    build_variant(compose_cell({}, {}, 5), shared)
    assert torch.equal(before, torch.get_rng_state())


def test_the_schemes_follow_their_laws() -> None:
    conv, uniform, normal, _ = (draw("rohrer583k", 0, scheme) for scheme in DRAWN)
    weight = conv["conv2.weight"]
    bound = (1 / weight[0].numel()) ** 0.5  # Kaiming uniform with a = sqrt 5
    assert weight.abs().max() <= bound
    assert abs(float(weight.std()) - bound / 3**0.5) < 0.01 * bound
    assert abs(float(uniform["conv2.weight"].std()) - 1 / 3**0.5) < 0.01
    assert torch.equal(conv["head.weight"], uniform["head.weight"])
    for name in ("conv2.weight", "head.weight"):
        kernels = normal[name]
        deviation = (2 / kernels[0].numel()) ** 0.5
        assert abs(float(kernels.std()) / deviation - 1) < 0.02
        assert kernels.abs().max() > 3 * deviation  # no uniform law goes there
    assert torch.equal(conv["head.bias"], normal["head.bias"])
    network = ARCHITECTURES["rohrer583k"].build()
    paths = [path for path, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    assert all(f"{path}.{UNIT_P}" in conv for path in paths)


def test_the_file_is_the_truth_and_a_damaged_one_is_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = initial_weights("rohrer25k", 0, "conv2d", tmp_path)
    (file,) = tmp_path.iterdir()
    assert initial_weights("rohrer25k", 0, "conv2d", tmp_path).checksum == first.checksum
    file.write_bytes(file.read_bytes()[:-1])
    assert initial_weights("rohrer25k", 0, "conv2d", tmp_path).checksum == first.checksum
    assert "set aside as rohrer25k-s0-conv2d.safetensors.damaged-1" in capsys.readouterr().out


def test_weights_of_another_network_of_that_name_are_set_aside_and_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = initial_weights("rohrer25k", 0, "conv2d", tmp_path)
    (file,) = tmp_path.iterdir()
    notes = {"arch": "rohrer25k", "seed": 0, "scheme": "conv2d"}
    for tensors, said in (
        ({**first.tensors, "conv1.weight": torch.ones(79, 3, 5, 5)}, notes),  # another width
        (draw("rohrer47k", 0, "conv2d"), notes),
        (draw("rohrer25k", 1, "conv2d"), {**notes, "seed": 1}),  # a copy under another name
    ):
        save_tensors(file, tensors, said)
        assert initial_weights("rohrer25k", 0, "conv2d", tmp_path).checksum == first.checksum
    assert capsys.readouterr().out.count("holds the weights of another network; set aside as") == 3


def test_a_changed_network_has_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    initial_weights("rohrer25k", 0, "conv2d", tmp_path)
    monkeypatch.setattr("scs_study.models.initialization.part_digest", lambda part, name: "0123456789ab")
    initial_weights("rohrer25k", 0, "conv2d", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "rohrer25k-s0-conv2d.safetensors", "rohrer25k-0123456789ab-s0-conv2d.safetensors",
    }  # fmt: skip


def test_weight_scale_scales_the_replaced_kernels_only() -> None:
    shared = draw("rohrer25k", 0, "conv2d")
    network = build_variant(compose_cell({"layer": "sdp"}, {"layer.weight_scale": 2.0}, 0), shared)
    assert torch.equal(network.state_dict()["conv1.weight"], 2 * shared["conv1.weight"])
    assert torch.equal(network.state_dict()["head.weight"], shared["head.weight"])


def test_batches_do_not_depend_on_the_variant(tmp_path: Path) -> None:
    """Order and augmentation are a function of data, batch size, seed and epoch: a variant cannot enter."""
    batches = []
    for layer in ("conv", "scs"):
        cell = compose_cell({"layer": layer}, {}, seed=7)
        images = load_images(cell.data, None, tmp_path, download=False)
        batches.append(Batches(images, cell.data, cell.train.batch_size, cell.seed, torch.device("cpu")))
        torch.rand(5)  # whatever a variant draws meanwhile must not matter
    for epoch in (1, 2):
        first, second = (b.plan(epoch) for b in batches)
        for step in (0, 5, batches[0].steps - 1):
            (x, y), (u, v) = batches[0].train(first, step), batches[1].train(second, step)
            assert torch.equal(x, u)
            assert torch.equal(y, v)
