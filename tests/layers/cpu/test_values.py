"""The compiled CPU layers against their definition in float64: values and all gradients, at drawn and at real sizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scs_study.layers import cpu
from scs_study.layers.sizes import Geometry
from tests.layers.cpu.definition import EPS, assert_is_its_definition, drawn, setting

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    batch=st.integers(1, 4),
    channels=st.integers(1, 20),
    kernels=st.integers(1, 40),
    size=st.tuples(st.integers(6, 13), st.integers(6, 13)),
    kernel=pairs,
    stride=pairs,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    depthwise=st.booleans(),
    window=st.builds(cpu.Window, pairs, st.booleans(), st.booleans()),
    cosine=st.booleans(),
    layout=st.sampled_from([torch.channels_last, torch.contiguous_format]),
    threads=st.sampled_from([1, 1, 3]),
)
def test_values_and_gradients_are_those_of_the_definition(
    seed, batch, channels, kernels, size, kernel, stride, padding, depthwise, window, cosine, layout, threads
):
    groups = 1
    if depthwise:
        groups, kernels = channels, channels
        window = cpu.NO_WINDOW if cosine and groups > 1 else window
    s = setting(Geometry(stride, padding, (1, 1), groups, EPS), window, cosine)
    leaves = drawn(seed, batch, channels, kernels, size, kernel, groups)
    if min(window.counts(s.outputs(*leaves[:2]))) < 1:
        assert not cpu.takes(*leaves, s)
        return
    torch.set_num_threads(threads)
    try:
        assert_is_its_definition(leaves, s, layout)
    finally:
        torch.set_num_threads(1)


TWO, FOUR = cpu.Window((2, 2), True, True), cpu.Window((4, 4), True, True)
NETWORKS = {
    "first of 100k": (3, 32, 32, 3, 1, 0, TWO),
    "second of 100k": (32, 64, 15, 3, 1, 1, TWO),
    "third of 47k": (30, 30, 7, 5, 1, 1, FOUR),
    "1x1 of 25k": (80, 40, 12, 1, 1, 0, TWO),
    "third of 25k": (40, 40, 6, 3, 1, 0, FOUR),
    "max pool": (3, 24, 32, 3, 1, 0, cpu.Window((2, 2), True, False)),
    "resnet, stride 2": (16, 32, 16, 3, 2, 1, cpu.NO_WINDOW),
    "resnet, shortcut": (16, 32, 16, 1, 2, 0, cpu.NO_WINDOW),
}


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_of_the_networks_are_their_definition(name: str, cosine: bool):
    channels, kernels, side, kernel, stride, padding, window = NETWORKS[name]
    s = setting(Geometry((stride,) * 2, (padding,) * 2, (1, 1), 1, EPS), window, cosine)
    leaves = drawn(5, 4, channels, kernels, (side, side), (kernel, kernel), 1)
    leaves[0] = leaves[0].abs() if channels == 3 else leaves[0]
    assert_is_its_definition(leaves, s, torch.channels_last)


def test_a_batch_worked_on_in_pieces_is_its_definition(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("scs_study.layers.cpu.passes.CHUNK", 3000)
    s = setting(Geometry((1, 1), (1, 1), (1, 1), 1, EPS), TWO, True)
    assert_is_its_definition(drawn(7, 11, 5, 8, (9, 9), (3, 3), 1), s, torch.channels_last)
    s = setting(Geometry((1, 1), (1, 1), (1, 1), 8, EPS), cpu.NO_WINDOW, True)
    assert_is_its_definition(drawn(7, 11, 8, 8, (9, 9), (3, 3), 8), s, torch.channels_last)


def test_kernels_that_threads_share_are_their_definition(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("scs_study.layers.cpu.passes.MANY_WEIGHTS", 1)
    s = setting(Geometry((1, 1), (1, 1), (1, 1), 1, EPS), cpu.NO_WINDOW, True)
    torch.set_num_threads(3)
    try:
        assert_is_its_definition(drawn(9, 2, 6, 17, (7, 7), (3, 3), 1), s, torch.channels_last)
    finally:
        torch.set_num_threads(1)


def test_two_threads_give_the_same_bits_every_time():
    s = setting(Geometry((1, 1), (1, 1), (1, 1), 1, EPS), TWO, True)
    leaves = [t.requires_grad_() for t in drawn(8, 9, 6, 16, (11, 11), (3, 3), 1)]
    torch.set_num_threads(2)
    try:
        first, second = ([y := cpu.power(*leaves, s), *torch.autograd.grad(y.sum(), leaves)] for _ in range(2))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
